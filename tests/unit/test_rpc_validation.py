import math
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from vwed.v1 import (
    block_record_pb2,
    cache_service_pb2,
    record_service_pb2,
    task_def_pb2,
    task_def_service_pb2,
)

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.rpc.shape import shape_of
from vwed_grpc.rpc.validation import checker, validate

REQUEST_TYPES = [
    GetMessageClass(method.input_type)
    for file in (task_def_service_pb2, record_service_pb2, cache_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def problem_of(request: Message) -> InvalidArgument | None:
    return checker(type(request))(request.SerializeToString()).problem


def fields_of(request: Message) -> list[str]:
    problem = problem_of(request)
    return [] if problem is None else [violation.field for violation in problem.violations]


def report(**block: Any) -> record_service_pb2.ReportBlockRequest:
    record = block_record_pb2.BlockRecord(**{"block_id": "drive-1", **block})
    return record_service_pb2.ReportBlockRequest(task_record_id="run-1", block_record=record)


def task_def(**fields: Any) -> task_def_service_pb2.CreateTaskDefRequest:
    return task_def_service_pb2.CreateTaskDefRequest(
        task_def=task_def_pb2.TaskDef(**{"name": "Empty pallet", **fields})
    )


def test_a_good_request_comes_back() -> None:
    data = Struct()
    data.update({"target": "R-12-03", "speed": 1.5, "tags": ["a", None, True], "inner": {}})
    request = report(status=2, iteration="3.1", progress=0.5, input_data=data, message="完成 \\000")
    checked = checker(type(request))(request.SerializeToString())
    assert checked.problem is None
    assert checked.request == request


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xc3\x28", b"\x12\x7f"])
def test_bytes_that_are_not_the_message(raw: bytes) -> None:
    problem = checker(record_service_pb2.ReportBlockRequest)(raw).problem
    assert problem is not None
    assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
    assert problem.message == "the bytes are not a vwed.v1.ReportBlockRequest"


def test_a_struct_nested_beyond_parsing_is_malformed() -> None:
    value = b"\x08\x00"
    for _ in range(200):
        value = b"\x32" + prefixed(b"\x0a" + prefixed(value))  # a Value of a list of one Value
    struct = b"\x0a" + prefixed(b"\x0a\x01k\x12" + prefixed(value))
    raw = b"\x12" + prefixed(b"\x32" + prefixed(struct))
    problem = checker(record_service_pb2.ReportBlockRequest)(raw).problem
    assert problem is not None
    assert problem.reason == "MALFORMED_MESSAGE"


def varint(number: int) -> bytes:
    number, out = number % 2**64, b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def prefixed(raw: bytes) -> bytes:
    return varint(len(raw)) + raw


def batch() -> record_service_pb2.ReportBlocksRequest:
    request = record_service_pb2.ReportBlocksRequest(task_record_id="run-1")
    for index in range(4):
        request.block_records.add(block_id=f"b{index}")
    request.block_records[1].status = 99  # type: ignore[assignment]  # proto3 lets it through
    request.block_records[2].parent.block_id = ""
    request.block_records[3].iteration = "a"
    request.executor_id = "x\0y"
    return request


def every_enum() -> record_service_pb2.ListTaskRecordsRequest:
    request = record_service_pb2.ListTaskRecordsRequest(view=77)  # type: ignore[arg-type]  # the same
    request.filter.statuses.extend([1, 99])  # type: ignore[list-item]  # the same
    return request


def every_time() -> record_service_pb2.ClaimTaskRecordsRequest:
    request = record_service_pb2.ClaimTaskRecordsRequest(executor_id="amr-7")
    request.lease.seconds = 2**62
    request.wait.nanos = 2_000_000_000
    getattr(request.filter.create_time, "from").nanos = -1
    request.filter.end_time.to.seconds = 2**62
    return request


def numbers(*values: float) -> Struct:
    struct = Struct()
    struct.update({"speeds": list(values)})
    return struct


def output_only_enums() -> record_service_pb2.CreateTaskRecordRequest:
    request = record_service_pb2.CreateTaskRecordRequest()
    request.task_record.status = 99  # type: ignore[assignment]  # proto3 lets it through
    return request


def update(**fields: Any) -> task_def_service_pb2.UpdateTaskDefRequest:
    return task_def_service_pb2.UpdateTaskDefRequest(task_def=task_def_pb2.TaskDef(**fields))


def cache_entry(**fields: Any) -> cache_service_pb2.SetDataCacheRequest:
    request = cache_service_pb2.SetDataCacheRequest()
    request.data_cache.task_record_id = "run-1"
    request.data_cache.key = "k"
    for name, value in fields.items():
        if isinstance(value, Message):
            getattr(request.data_cache, name).CopyFrom(value)
        else:
            setattr(request.data_cache, name, value)
    return request


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (report(block_id=""), ["block_record.block_id"]),
        (record_service_pb2.ReportBlockRequest(), ["task_record_id", "block_record"]),
        (
            batch(),
            [
                "block_records[1].status",
                "block_records[2].parent.block_id",
                "block_records[3].iteration",
                "executor_id",
            ],
        ),
        (every_enum(), ["filter.statuses[1]", "view"]),
        (
            every_time(),
            ["lease", "wait", "filter.create_time.from", "filter.end_time.to"],
        ),
        (output_only_enums(), ["task_record.status"]),
        (cache_entry(string_value="v", type=99), ["data_cache.type"]),
        (
            task_def(labels={'Bad"': "x", "long": "v" * 257}),
            ['task_def.labels["Bad\\""]', 'task_def.labels["long"]'],
        ),
        (task_def(labels={"a": "\0", "zone": "b"}), ['task_def.labels["a"]']),
        (task_def(name="a\0b", description="\0"), ["task_def.name", "task_def.description"]),
        (update(labels={"a\0": "x"}), ['task_def.labels["a\\u0000"]']),
        (update(name=""), []),  # judged when it is merged
        (
            task_def_service_pb2.UpdateTaskDefRequest(update_mask=FieldMask(paths=["a", "b\0"])),
            ["update_mask.paths[1]"],
        ),
        (report(input_data=numbers(1, math.nan)), ["block_record.input_data.speeds[1]"]),
        (update(config=numbers(math.inf)), ["task_def.config.speeds[0]"]),
        (cache_entry(json_value=Value(string_value="\0")), ["data_cache.json_value"]),
        (cache_entry(bytes_value=b"\0\xff"), []),
        (cache_entry(double_value=1.0), []),
    ],
)
def test_bad_fields_are_named(request_: Message, fields: list[str]) -> None:
    assert sorted(fields_of(request_)) == sorted(fields)


INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**62, 999_999_999])
SCALARS: dict[int, st.SearchStrategy[bytes]] = {
    FieldDescriptor.TYPE_DOUBLE: st.binary(min_size=8, max_size=8),
    FieldDescriptor.TYPE_STRING: st.text(max_size=4).map(str.encode),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=4),
}
WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: 1,
    FieldDescriptor.TYPE_STRING: 2,
    FieldDescriptor.TYPE_BYTES: 2,
    FieldDescriptor.TYPE_MESSAGE: 2,
}


@st.composite
def wire(draw: st.DrawFn, descriptor: Any, depth: int) -> bytes:
    """Bytes that do parse as the message, with any values in its fields."""
    out = b""
    fields = list(descriptor.fields) if depth else []
    for field in draw(st.lists(st.sampled_from(fields), max_size=4)) if fields else ():
        if field.message_type is not None:
            value = draw(wire(field.message_type, depth - 1))
        else:
            value = draw(SCALARS.get(field.type, INTEGERS.map(varint)))
        kind = WIRE_TYPES.get(field.type, 0)
        out += varint(field.number << 3 | kind) + (varint(len(value)) if kind == 2 else b"") + value
    return out


def test_the_limits_of_json_hold_in_a_request() -> None:
    problem = problem_of(report(output_data=numbers(*[0.0] * 50_001)))
    assert problem is not None
    assert [v.field for v in problem.violations] == ["block_record.output_data"]


def test_a_text_problem_is_found_without_any_other_zero_byte() -> None:
    assert fields_of(report(message="\0")) == ["block_record.message"]


@pytest.mark.parametrize("request_type", REQUEST_TYPES, ids=lambda t: t.DESCRIPTOR.name)
def test_every_request_type_has_a_shape(request_type: type[Message]) -> None:
    assert shape_of(request_type.DESCRIPTOR)
    assert checker(request_type)(b"").request == request_type()


@given(request_type=st.sampled_from(REQUEST_TYPES), data=st.data())
@settings(max_examples=300)
def test_no_content_breaks_the_check(request_type: type[Message], data: st.DataObject) -> None:
    raw = data.draw(wire(request_type.DESCRIPTOR, 4))
    problem = checker(request_type)(raw).problem
    assert problem is None or problem.reason == "INVALID_FIELD"


@given(raw=st.binary(max_size=200))
def test_no_bytes_break_the_check(raw: bytes) -> None:
    for request_type in REQUEST_TYPES:
        checker(request_type)(raw)


def test_shapes_refuse_what_they_do_not_know() -> None:
    from google.protobuf.struct_pb2 import ListValue

    def shape(descriptor: Descriptor) -> None:
        shape_of(descriptor)

    with pytest.raises(TypeError, match="is a list of"):
        shape(ListValue.DESCRIPTOR)
    with pytest.raises(TypeError, match="maps other things"):
        shape(Struct.DESCRIPTOR)


def test_validate_names_fields_from_its_path() -> None:
    merged = task_def_pb2.TaskDef(name="", task_type="t" * 129, labels={"A": ""})
    with pytest.raises(InvalidArgument) as raised:
        validate(merged, "task_def")
    assert {violation.field for violation in raised.value.violations} == {
        "task_def.name",
        "task_def.task_type",
        'task_def.labels["A"]',
    }
    validate(task_def_pb2.TaskDef(name="fine"), "task_def")


def fill_times(message: Any, nanos: int) -> int:
    """Sets every time in a message, and in the messages in it; how many there are."""
    found = 0
    for field in message.DESCRIPTOR.fields:
        inner = field.message_type
        if inner is None or inner.GetOptions().map_entry:
            continue
        if inner.full_name == "google.protobuf.Timestamp":
            getattr(message, field.name).FromNanoseconds(1_700_000_000_000_000_000 + nanos)
            found += 1
        elif inner.file.package == "vwed.v1":
            inside = getattr(message, field.name)
            found += fill_times(inside.add() if field.is_repeated else inside, nanos)
    return found


@pytest.mark.parametrize("request_type", REQUEST_TYPES, ids=lambda t: t.DESCRIPTOR.name)
def test_times_are_cut_to_microseconds_wherever_they_stand(request_type: type[Message]) -> None:
    fine, cut = request_type(), request_type()
    if fill_times(fine, 1_999):
        fill_times(cut, 1_000)
        assert checker(request_type)(fine.SerializeToString()).request == cut
