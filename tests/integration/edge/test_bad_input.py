"""Bad input: the contract's code, the field's path, no word of our insides, and nothing written."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import ReportBlockRequest

from tests.support.bad_requests import BAD_REQUESTS
from tests.support.bad_requests.request import (
    DEF,
    ENDED,
    FOREIGN,
    INVALID,
    RUN,
    TEMPLATE,
    BadRequest,
)
from tests.support.calls import (
    create_def,
    create_run,
    finish_run,
    json_object,
    set_entry,
    start_run,
)
from tests.support.definition_calls import create_template
from tests.support.refusals import read_refusal, refusal
from tests.support.stored import Look
from tests.support.stored import stored as stored_of
from vwed.client import connect

TENANT = "t-bad-input"

METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for module in (task_def_service_pb2, record_service_pb2, cache_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

ANSWERS_ITEMS = {"StreamBlockReports"}
"""In this stream, a bad message has an answer of its own."""

Call = Callable[..., Any]


@pytest.fixture(scope="module")
async def call(target: str) -> AsyncIterator[Call]:
    """Sends bytes to a method, as the tenant whose things are those of `bad_requests`."""
    async with connect(target, tenant=f"{TENANT}-2", bare=True) as other:
        await create_def(other, id=DEF)
        await create_run(other, DEF, id=FOREIGN)
        await start_run(other, FOREIGN)
    async with connect(target, tenant=TENANT, bare=True) as client:
        config = json_object(inputs=[{"name": "to", "type": "string"}])
        await create_def(client, id=DEF, config=config)
        schema = json_object(
            properties={"to": {"type": "string", "pattern": "^(a+)+$|^A1$"}}, required=["to"]
        )
        to = json_object(to="${params.to}")
        await create_template(client, id=TEMPLATE, config=to, parameters_schema=schema)
        for run in (RUN, ENDED):
            await create_run(client, DEF, id=run)
            await start_run(client, run)
        await finish_run(client, ENDED)
        done = BlockRecord(block_id="done", status=BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED)
        await client.records.ReportBlock(ReportBlockRequest(task_record_id=RUN, block_record=done))
        await set_entry(client, RUN, "there", int_value=1)
    async with grpc.aio.insecure_channel(target) as channel:

        async def send(
            method: MethodDescriptor, raw: bytes, *metadata: tuple[str, str | bytes]
        ) -> list[bytes]:
            kind = "stream" if method.client_streaming else "unary"
            kind += "_stream" if method.server_streaming else "_unary"
            path = f"/{method.containing_service.full_name}/{method.name}"
            request = [raw] if method.client_streaming else raw
            call_ = getattr(channel, kind)(path)(
                request, metadata=(("x-vwed-tenant", TENANT), *metadata), timeout=10
            )
            return [m async for m in call_] if method.server_streaming else [await call_]

        yield send


@pytest.fixture(scope="module")
def stored(database_url: str) -> Iterator[Look]:
    """All that is stored of the tenant and of the other one."""
    with stored_of(database_url, TENANT, f"{TENANT}-2") as look:
        yield look


@pytest.mark.parametrize("bad", BAD_REQUESTS, ids=str)
async def test_a_bad_request_is_refused_by_its_field_and_writes_nothing(
    bad: BadRequest, call: Call, stored: Look
) -> None:
    before = stored()
    refused = await refusal(call(METHODS[bad.method], bad.message.SerializeToString()))
    assert (refused.code, set(refused.fields)) == (bad.code, set(bad.fields))
    assert stored() == before


CHECKED_ALONE = [bad for bad in BAD_REQUESTS if hasattr(bad.message, "validate_only")]


@pytest.mark.parametrize("bad", CHECKED_ALONE, ids=str)
async def test_validate_only_makes_every_check(bad: BadRequest, call: Call) -> None:
    raw = bad.message.SerializeToString()
    real = await refusal(call(METHODS[bad.method], raw))
    request: Any = type(bad.message).FromString(raw)
    request.validate_only = True
    assert await refusal(call(METHODS[bad.method], request.SerializeToString())) == real


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff",
        b"\x0a\x05abc",  # a string that ends early
        b"\x0a\x02\xff\xfe",  # a string that is not UTF-8, or a message that is none
        b"\x0b" * 200,  # groups in groups
        b"\x0a\xff\xff\xff\xff\x0f",  # a length of 4 GiB
    ],
    ids=bytes.hex,
)
@pytest.mark.parametrize(
    "method",
    [method for method in METHODS.values() if method.input_type.fields],  # nothing is not malformed
    ids=lambda method: method.name,
)
async def test_bytes_that_are_not_the_message_are_refused(
    method: MethodDescriptor, raw: bytes, call: Call, stored: Look
) -> None:
    before = stored()
    sent = call(method, raw)
    if method.name in ANSWERS_ITEMS:
        assert len(await sent) == 1
    else:
        assert (await refusal(sent)).code == INVALID
    assert stored() == before


async def test_json_that_is_too_deep_to_be_parsed_is_refused(call: Call) -> None:
    value = b""
    for _ in range(200):
        value = _field(1, _field(1, b"a") + _field(2, _field(5, value)))
    raw = _field(1, _field(2, b"new") + _field(5, value))
    refused = await refusal(call(METHODS["CreateTaskDef"], raw))
    assert (refused.code, refused.reason) == (INVALID, "MALFORMED_MESSAGE")


def _field(number: int, content: bytes) -> bytes:
    length, head = len(content), bytes([number << 3 | 2])
    while length > 127:
        head += bytes([length & 127 | 128])
        length >>= 7
    return head + bytes([length]) + content


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-vwed-tenant", "another"),  # a second one
        ("x-vwed-actor", "x" * 129),
        ("x-vwed-actor-bin", "陈".encode() * 129),
        ("x-vwed-actor-bin", b"a\0b"),
        ("x-vwed-actor-bin", b"\xff"),
        ("x-vwed-consistency", "weak"),
    ],
)
async def test_bad_metadata_is_refused_by_its_key(key: str, value: str | bytes, call: Call) -> None:
    refused = await refusal(call(METHODS["ListTaskDefs"], b"", (key, value)))
    assert (refused.code, refused.fields) == (INVALID, [key])


async def test_a_request_may_have_4_mib(call: Call) -> None:
    method, largest = METHODS["BatchSetDataCache"], 4 << 20
    request = cache_service_pb2.BatchSetDataCacheRequest(task_record_id=RUN)
    for n in range(5):
        entry = DataCache(key=f"large-{n}", bytes_value=bytes(1 << 20 if n < 3 else 1 << 19))
        request.requests.add(data_cache=entry)
    last = request.requests[-1].data_cache
    last.bytes_value = bytes(len(last.bytes_value) + largest - request.ByteSize())
    raw = request.SerializeToString()
    assert len(raw) == largest
    await call(method, raw)
    with pytest.raises(grpc.aio.AioRpcError) as raised:  # gRPC's own core says so, without details
        await call(method, raw + b"\x12\x00")
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


OURS = ("x-vwed-tenant", "x-vwed-actor", "x-vwed-consistency", "x-request-id")
OTHERS = ("authorization", "traceparent", "tracestate", "baggage", "x-vwed-unknown")
PRINTABLE = ("", "=", "%00", "a,b", "{}", "\x7e" * 3_000, "00-0-0-0", "' OR 1=1 --")


async def test_no_metadata_is_a_fault_of_ours(call: Call) -> None:
    sent: list[tuple[str, str | bytes]] = [
        (key, value) for key in (*OURS, *OTHERS) for value in PRINTABLE
    ]
    for key in ("x-vwed-actor-bin", "grpc-trace-bin", "x-vwed-tenant-bin"):
        sent += [(key, value) for value in (b"", b"\0", b"\xff\xfe", b"x" * 3_000)]
    for key, value in sent:
        try:
            await call(METHODS["ListTaskDefs"], b"", (key, value))
        except grpc.aio.AioRpcError as error:
            refused = read_refusal(error)
            assert (refused.code, refused.fields) == (INVALID, [key]), (key, value)


async def test_an_illegal_transition_names_its_ends(call: Call) -> None:
    request = record_service_pb2.PauseTaskRecordRequest(id=ENDED)
    refused = await refusal(call(METHODS["PauseTaskRecord"], request.SerializeToString()))
    assert refused.reason == "ILLEGAL_TRANSITION"
    assert refused.metadata == {
        "from": "TASK_RECORD_STATUS_SUCCEEDED",
        "to": "TASK_RECORD_STATUS_PAUSING",
    }
