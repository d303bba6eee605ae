"""Lines of a site's file: what is written, and what is read of anything."""

import io
import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ExportTaskDefsResponse
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.cli import site_file
from vwed_grpc.cli.site_file import read, written


def config(**members: Any) -> Struct:
    value = Struct()
    value.update(members)
    return value


def nested(levels: int) -> Struct:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return config(**value)


def test_a_line_has_sorted_keys_and_every_script_as_it_is() -> None:
    task_def = TaskDef(id="a", name="箱", version=2, labels={"z": "1", "b": "2"})
    task_def.config.update({"b": 1, "a": [{"y": None, "x": 0.5}]})
    line = written(ExportTaskDefsResponse(task_def=task_def))
    assert line.decode() == (
        '{"task_def": {"config": {"a": [{"x": 0.5, "y": null}], "b": 1}, "id": "a",'
        ' "labels": {"b": "2", "z": "1"}, "name": "箱", "version": 2}}\n'
    )


@pytest.mark.parametrize(
    "item",
    [
        ExportTaskDefsResponse(task_def=TaskDef(id="a", name='\u2028\n\x7f\\"', version=1)),
        ExportTaskDefsResponse(task_template=TaskTemplate(id="a", parameters_schema=config(a=1))),
        ExportTaskDefsResponse(task_def=TaskDef(config=nested(30))),
        ExportTaskDefsResponse(task_def=TaskDef(config=config(a=[1e300, 2**53, 1e-7, 0.1, -0.0]))),
        ExportTaskDefsResponse(task_def=TaskDef(config=config(a={}, b=[], c=[[]]))),
        ExportTaskDefsResponse(task_def=TaskDef(config=Struct())),
    ],
)
def test_what_is_written_is_read_again(item: ExportTaskDefsResponse) -> None:
    (line,) = read(io.BytesIO(written(item)))
    assert (line.number, line.problem) == (1, "")
    assert line.item is not None
    kind = item.WhichOneof("item")
    assert kind
    assert getattr(line.item, kind) == getattr(item, kind)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"nonsense", "is no item: Expecting value at column 1"),
        (b"[]", "is no item: it is no JSON object"),
        (b"null", "is no item: "),
        (b"3", "is no item: "),
        (b"{}", "holds neither a task_template nor a task_def"),
        (b'{"options": {}}', "is no item: "),
        (b'{"task_def": {"id": 3}}', "is no item: "),
        (b'{"task_def": {"colour": "red"}}', "is no item: "),
        (b'{"task_def": {}, "task_template": {}}', "is no item: "),
        (b'{"task_def": {"config": {"a": NaN}}}', "is no item: "),
        (b'{"task_def": {"config": {"a": -Infinity}}}', "is no item: -Infinity is not JSON"),
        (b'{"task_def": {"id": "a", "id": "b"}}', "is no item: a key stands twice"),
        (b'{"task_def": {"version": 4294967296}}', "is no item: "),
        (b'{"task_def": {"id": "\\ud800"}}', "is no item: "),
        (b'{"task_def": {"id": "\xff"}}', "is not UTF-8"),
        (b'{"task_def": {"config": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_002, "is no item: "),
        (b"[" * 200_000, "is no item: "),
        (b'{"task_def": {"config": {"a": ' + b"9" * 5_000 + b"}}}", "is no item: "),
        (b'{"task_def": {"description": "' + b"x" * (5 << 20) + b'"}}', "is larger than 4 MiB"),
        (b"\x00\x01", "is no item: "),
    ],
    ids=lambda each: each[:40] if isinstance(each, bytes) else "",
)
def test_what_is_no_item_is_said_in_a_line(raw: bytes, problem: str) -> None:
    good = b'{"task_def": {"id": "a"}}'
    lines = list(read(io.BytesIO(good + b"\n\n" + raw + b"\r\n  \n" + good)))
    assert [line.number for line in lines] == [1, 3, 5]
    assert [bool(line.item) for line in lines] == [True, False, True]
    assert lines[1].problem.startswith(problem)
    assert len(lines[1].problem) < 300
    assert "\n" not in lines[1].problem


def test_a_line_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_file, "MAX_LINE", 100)
    good = json.dumps({"task_def": {"id": "a"}}).encode() + b"\n"
    for length in (101, 200, 201, 1_000):
        file = good + b"x" * (length - 1) + b"\n" + good
        lines = list(read(io.BytesIO(file)))
        assert [line.bytes for line in lines] == [len(good), length, len(good)]
        assert [line.problem for line in lines] == ["", "is longer than 0 MiB", ""]
    (line,) = read(io.BytesIO(b"x" * 1_000))
    assert line.bytes == 1_000
