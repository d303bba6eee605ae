"""Whatever a request holds, no answer is UNKNOWN or INTERNAL, none is our fault, and none hangs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2  # type: ignore[import-untyped]  # has no types
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from vwed.v1.task_def_service_pb2 import CreateTaskTemplateRequest
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.calls import create_def, create_run, finish_run, set_entry, start_run
from tests.integration.refusals import read_refusal
from tests.integration.test_bad_input import METHODS
from tests.integration.valid_requests import CONFIG, DEF, ENDED, KEY, RUN, TEMPLATE, VALID
from vwed_grpc.client import connect

TENANT = "t-fuzz"
OUR_FAULT = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNIMPLEMENTED", "HANGS"}
LISTENING_SECONDS = 0.03

TEXTS = [
    "", DEF, RUN, ENDED, KEY, "run-2", "run-3", "nowhere", "a", "3.1", "*", "name", "config.a",
    "name desc", "00000000-0000-4000-8000-000000000000", "Europe/Berlin", "Mars/Base", "../x",
    "\0", "a\0b", "\0" * 36, "%", "_", "'", "\\", "é" * 64, "x" * 128, "x" * 129, "x" * 513,
    "x" * 70_000,
]  # fmt: skip
NUMBERS = [0, 1, 2, 3, 7, 60, 1_000, 2**31 - 1, 253_402_300_799, 2**63 - 1]
SCALARS: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXTS,
    FieldDescriptor.CPPTYPE_BOOL: [False, True],
    FieldDescriptor.CPPTYPE_DOUBLE: [0.0, -0.0, 0.5, 1.0, 1e308, float("inf"), float("nan")],
    FieldDescriptor.CPPTYPE_INT32: [s * n for n in NUMBERS if n < 2**31 for s in (1, -1)],
    FieldDescriptor.CPPTYPE_INT64: [s * n for n in NUMBERS for s in (1, -1)],
    FieldDescriptor.CPPTYPE_ENUM: [0, 1, 2, 3, 7, 9, 99, -1],
}
NOT_SPOILED = {"wait"}
"""A claim may ask to wait for a minute."""

Slot = tuple[Any, FieldDescriptor]


def slots(message: Any) -> list[Slot]:
    """Every field of a message and of the messages in it, set or not."""
    found: list[Slot] = []
    for field in message.DESCRIPTOR.fields:
        if field.name in NOT_SPOILED:
            continue
        found.append((message, field))
        if field.message_type is None:
            continue
        inside = getattr(message, field.name)
        if not field.is_repeated:
            found += slots(inside) if message.HasField(field.name) else []
        elif not field.message_type.GetOptions().map_entry:
            for item in inside:
                found += slots(item)
        elif field.message_type.fields_by_name["value"].message_type:
            for key in sorted(inside):
                found += slots(inside[key])
    return found


def spoil(message: Message, place: int, pick: int) -> None:
    """Sets one field to what should not, or should just, be sent."""
    among = slots(message)
    target, field = among[place % len(among)]
    if field.message_type and field.message_type.GetOptions().map_entry:
        entries, key = getattr(target, field.name), TEXTS[pick % len(TEXTS)]
        if field.message_type.fields_by_name["value"].message_type:
            entries[key].SetInParent()
        else:
            entries[key] = TEXTS[(pick + place) % len(TEXTS)]
    elif field.message_type:
        if field.is_repeated:
            getattr(target, field.name).add()
        elif target.HasField(field.name) and pick % 2:
            target.ClearField(field.name)
        else:
            getattr(target, field.name).SetInParent()
    elif field.type == FieldDescriptor.TYPE_BYTES:
        setattr(target, field.name, bytes(pick))
    else:
        value = SCALARS[field.cpp_type][pick % len(SCALARS[field.cpp_type])]
        if field.is_repeated:
            getattr(target, field.name).append(value)
        else:
            setattr(target, field.name, value)


NUMBER = st.integers(0, 9_999)


@st.composite
def requests(draw: st.DrawFn) -> tuple[MethodDescriptor, bytes]:
    """A request of random bytes, or a good one of which a few fields, or bytes, are spoiled."""
    method = METHODS[draw(st.sampled_from(sorted(METHODS)))]
    if draw(NUMBER) % 20 == 1:
        return method, draw(st.binary(max_size=64))
    message = type(VALID[method.name])()
    message.CopyFrom(VALID[method.name])
    for place, pick in draw(st.lists(st.tuples(NUMBER, NUMBER), max_size=3)):
        if message.DESCRIPTOR.fields:
            spoil(message, place, pick)
    raw = message.SerializeToString()
    for place, byte in draw(st.lists(st.tuples(NUMBER, NUMBER), max_size=2)):
        if raw and byte % 4 == 1:
            at = place % len(raw)
            raw = raw[:at] + bytes([byte % 256]) + raw[at + 1 :]
    return method, raw


@pytest.fixture(scope="module")
async def channel(target: str) -> AsyncIterator[grpc.aio.Channel]:
    async with connect(target, tenant=TENANT) as client:
        await create_def(client, id=DEF, config=CONFIG)
        for run in (RUN, ENDED, "run-2", "run-3"):
            await create_run(client, DEF, id=run)
            await start_run(client, run)
        await finish_run(client, ENDED)
        await set_entry(client, RUN, KEY, int_value=1)
        for id_ in (TEMPLATE, "template-2"):
            await client.definitions.CreateTaskTemplate(
                CreateTaskTemplateRequest(task_template=TaskTemplate(id=id_, name=id_))
            )
    async with grpc.aio.insecure_channel(target) as channel:
        yield channel


async def answer(channel: grpc.aio.Channel, method: MethodDescriptor, raw: bytes) -> str:
    """The code of the answer; a stream that goes on is OK."""
    kind = "stream" if method.client_streaming else "unary"
    kind += "_stream" if method.server_streaming else "_unary"
    path = f"/{method.containing_service.full_name}/{method.name}"
    call = getattr(channel, kind)(path)(
        [raw] if method.client_streaming else raw, metadata=(("x-vwed-tenant", TENANT),)
    )
    try:
        async with asyncio.timeout(LISTENING_SECONDS if method.server_streaming else 10):
            if method.server_streaming:
                async for raw_answer in call:
                    message = GetMessageClass(method.output_type).FromString(raw_answer)
                    error = getattr(message, "error", None)  # of one batch in a stream
                    if error is not None and error.code:
                        return str(code_pb2.Code.Name(error.code))
            else:
                await call
    except TimeoutError:
        return "OK" if method.server_streaming else "HANGS"
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).code
    finally:
        call.cancel()
    return "OK"


# Not shrunk: each try costs calls, and a fault names its request.
@settings(max_examples=45, deadline=None, print_blob=True, phases=[Phase.reuse, Phase.generate])
@given(sent=st.lists(requests(), min_size=10, max_size=25))
async def test_no_request_is_answered_by_a_fault(
    channel: grpc.aio.Channel, sent: list[tuple[MethodDescriptor, bytes]]
) -> None:
    codes = await asyncio.gather(*(answer(channel, method, raw) for method, raw in sent))
    faults = [
        (method.name, raw, code)
        for (method, raw), code in zip(sent, codes, strict=True)
        if code in OUR_FAULT
    ]
    assert not faults
