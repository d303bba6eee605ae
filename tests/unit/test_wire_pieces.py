"""Messages that are parsed and copied in pieces are the same as if they were so in one go."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.cache_service_pb2 import BatchSetDataCacheRequest, SetDataCacheRequest
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import BatchGetTaskRecordsRequest, ReportBlocksRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest

from tests.support.calls import json_object
from vwed_grpc.domain import wire_pieces
from vwed_grpc.domain.wire_format import field
from vwed_grpc.domain.wire_pieces import TooManyFieldsError, copy_in_pieces, merge_in_pieces

INNER = json_object(a={"b": [1, "two", None, {"c": True}], "empty": {}}, list=[], text="x" * 300)
CONFIG = json_object(blocks=[{"id": f"b{n}", "inputs": {"n": n, "of": [n]}} for n in range(40)])


@pytest.fixture(autouse=True)
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that all that can be cut up is."""
    monkeypatch.setattr(wire_pieces, "PIECE", 7)


MESSAGES: list[Message] = [
    Struct(),
    INNER,
    CONFIG,
    Value(string_value="x" * 100),
    *(json_object(text="x" * size, more=[True]) for size in (128, 16_384, 20_000, 300_000)),
    TaskDef(
        id="é" * 60, name="空托盘", config=CONFIG, labels={"zone": "A" * 50, "b": ""}, version=7
    ),
    CreateTaskDefRequest(task_def=TaskDef(config=CONFIG), request_id="r", validate_only=True),
    BatchGetTaskRecordsRequest(ids=[f"run-{n}" for n in range(50)], view=View.VIEW_FULL),
    ReportBlocksRequest(
        task_record_id="run",
        block_records=[BlockRecord(block_id=f"b{n}", input_data=INNER) for n in range(9)],
        lease_epoch=-1,
    ),
    BatchSetDataCacheRequest(
        requests=[
            SetDataCacheRequest(data_cache=DataCache(key="k", double_value=0.5), if_version=3),
            SetDataCacheRequest(data_cache=DataCache(json_value=Value(struct_value=INNER))),
        ]
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_the_whole_is_the_same(message: Message) -> None:
    merged = type(message)()
    merge_in_pieces(merged, message.SerializeToString())
    assert merged == message
    assert copy_in_pieces(message) == message


def _two(key: str, *values: Any) -> bytes:
    """Maps that hold a key more than once, one after the other."""
    return b"".join(json_object(**{key: value}).SerializeToString() for value in values)


def _of(name: str) -> bytes:
    return Value(struct_value=json_object(**{name: "x" * 20})).SerializeToString()


@pytest.mark.parametrize(
    "raw",
    [
        _two("a", {"old": 1, "text": "x" * 50}, {"new": 2, "text": "y" * 50}),
        _two("a", [1, 2, 3, 4, 5, 6], "x" * 40, {"b": [1, 2]}),
        # An entry's fields may come in any order, and more than once.
        b"\x0a\x1d\x12\x16\x2a\x14\x0a\x12\x0a\x01b\x12\x0d\x1a\x0bhello world\x0a\x03key",
        field(1, field(1, b"a") + field(2, _of("b")) + field(2, _of("c"))),
        field(1, field(2, _of("b"))),  # without a key
        b"\xfa\x01\x20" + b"u" * 32,  # a field that nobody knows
    ],
)
def test_what_is_there_twice_or_unknown_is_taken_as_protobuf_takes_it(raw: bytes) -> None:
    merged = Struct()
    merge_in_pieces(merged, raw)
    assert merged == Struct.FromString(raw)


@pytest.mark.parametrize("spoil", [
    lambda raw: raw[:-1],
    lambda raw: raw[:20] + b"\xff" * 12,
    lambda raw: raw + b"\x0b",
    lambda raw: raw + b"\x0a",
    lambda raw: b"\x0a\x0d\x0a\x02\xff\xfe\x12\x07\x1a\x05hello" + raw,
])  # fmt: skip
def test_what_is_no_message_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    raw = spoil(CONFIG.SerializeToString())
    with pytest.raises(DecodeError):
        Struct.FromString(raw)
    with pytest.raises(DecodeError):
        merge_in_pieces(Struct(), raw)


def test_endless_lists_are_not_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_pieces, "MAX_FIELDS", 1_000)
    for request, path in (
        (
            CreateTaskDefRequest(task_def=TaskDef(config=json_object(a=[0] * 1_001))),
            "task_def.config",
        ),
        (BatchGetTaskRecordsRequest(ids=["a"] * 1_001), "ids"),
    ):
        with pytest.raises(TooManyFieldsError) as error:
            merge_in_pieces(type(request)(), request.SerializeToString())
        assert ".".join(error.value.args) == path
    just = BatchGetTaskRecordsRequest(ids=["a"] * 1_000)
    assert copy_in_pieces(just) == just


def nested(levels: int) -> bytes:
    """A list in a list in a list: two messages for each level."""
    raw = b""
    for _ in range(levels):
        raw = field(ListValue.VALUES_FIELD_NUMBER, field(Value.LIST_VALUE_FIELD_NUMBER, raw))
    return raw


def nested_objects(levels: int) -> bytes:
    raw = b""
    for _ in range(levels):
        entry = field(1, b"a") + field(2, field(Value.STRUCT_VALUE_FIELD_NUMBER, raw))
        raw = field(Struct.FIELDS_FIELD_NUMBER, entry)
    return raw


def test_what_nests_as_deep_as_protobuf_lets_it_is_taken() -> None:
    raw = nested(49)
    merged = ListValue()
    merge_in_pieces(merged, raw)
    assert merged == ListValue.FromString(raw)


@pytest.mark.parametrize(
    ("message", "raw"), [(ListValue(), nested(1_000)), (Struct(), nested_objects(150))]
)
def test_what_nests_too_deep_is_refused(message: Message, raw: bytes) -> None:
    with pytest.raises(DecodeError):
        type(message).FromString(raw)
    with pytest.raises(DecodeError, match="messages nest too deep"):
        merge_in_pieces(message, raw)
