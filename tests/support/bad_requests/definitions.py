from collections.abc import Iterator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct, Value
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.task_def_pb2 import TaskDef

from tests.support.bad_requests.request import (
    DEF,
    INVALID,
    LONG_ID,
    MIB,
    MISSING,
    UNMET,
    BadRequest,
)
from tests.support.calls import json_object


def nested(levels: int) -> Struct:
    """An object of so many levels."""
    value = Struct()
    for _ in range(levels - 1):
        outer = Struct()
        outer.fields["a"].struct_value.CopyFrom(value)
        value = outer
    return value


def blocks(count: int = 1, **own: Any) -> Struct:
    return json_object(blocks=[{"id": f"b{n}", "type": "drive", **own} for n in range(count)])


def nested_blocks(levels: int) -> Struct:
    tree: list[Any] = []
    for level in range(levels, 0, -1):
        tree = [{"id": f"b{level}", "type": "if", "children": {"default": tree}}]
    return json_object(blocks=tree)


def created() -> Iterator[BadRequest]:
    def create(field: str, **given: Any) -> BadRequest:
        given.setdefault("name", "new")
        request = t.CreateTaskDefRequest(task_def=TaskDef(**given))
        return BadRequest("CreateTaskDef", request, INVALID, (f"task_def.{field}",))

    yield BadRequest("CreateTaskDef", t.CreateTaskDefRequest(), INVALID, ("task_def",))
    for id_ in ("no id", "-x", "é", LONG_ID, "a/b", "a\nb", "a\n", "\0"):
        yield create("id", id=id_)
    for name in ("", "x" * 201, "a\0b"):
        yield create("name", name=name)
    yield create("description", description="é" * 8_193)
    yield create("description", description="\0")
    yield create("task_type", task_type="x" * 129)
    yield create("status", status=99)
    yield create("status", status=3)
    yield create("labels", labels={f"k{n}": "" for n in range(65)})
    yield create('labels["Zone"]', labels={"Zone": "A"})
    yield create('labels[""]', labels={"": "A"})
    yield create('labels["zone"]', labels={"zone": "x" * 257})
    yield create('labels["zone"]', labels={"zone": "\0"})
    yield create("change_note", change_note="x" * 513)
    yield create("config", config=json_object(a="x" * (2 * MIB)))
    yield create("config", config=json_object(a=[None] * 50_000))
    yield create("config.a", config=json_object(a=float("nan")))
    yield create("config.a", config=json_object(a=float("-inf")))
    yield create("config.a", config=json_object(a="\0"))
    yield create("config.a\\0", config=json_object(**{"a\0": 1}))
    yield create("config.a[1]", config=json_object(a=[1, "\0"]))
    yield create("config.a", config=Struct(fields={"a": Value()}))
    yield create("config" + ".a" * 30, config=nested(31))
    yield create("config.blocks[1].id", config=json_object(blocks=[{"id": "b", "type": "x"}] * 2))
    yield create("config.blocks", config=blocks(2_001))
    yield create(
        "config.blocks[0]" + ".children.default[0]" * 7 + ".children.default",
        config=nested_blocks(9),
    )
    yield create("config.blocks[0].type", config=blocks(type=""))
    yield create("config.blocks[0].id", config=blocks(id="x" * 129))
    yield create("config.inputs[0].name", config=json_object(inputs=[{"type": "string"}]))
    yield BadRequest(
        "CreateTaskDef",
        t.CreateTaskDefRequest(task_def=TaskDef(name="new"), request_id="7"),
        INVALID,
        ("request_id",),
    )
    yield BadRequest(
        "CreateTaskDef",
        t.CreateTaskDefRequest(task_def=TaskDef(id="a b", status=99, labels={"A": ""})),  # type: ignore[arg-type]  # not a status
        INVALID,
        ("task_def.id", "task_def.name", "task_def.status", 'task_def.labels["A"]'),
    )


def named() -> Iterator[BadRequest]:
    for id_ in ("", LONG_ID, "a b", "\0"):
        yield BadRequest("GetTaskDef", t.GetTaskDefRequest(id=id_), INVALID, ("id",))
        yield BadRequest("DeleteTaskDef", t.DeleteTaskDefRequest(id=id_), INVALID, ("id",))
    yield BadRequest("GetTaskDef", t.GetTaskDefRequest(id=DEF, version=-1), INVALID, ("version",))
    yield BadRequest("GetTaskDef", t.GetTaskDefRequest(id=DEF, version=9), MISSING)
    yield BadRequest("DeleteTaskDef", t.DeleteTaskDefRequest(id=DEF), UNMET)  # has an open run


def updated() -> Iterator[BadRequest]:
    def update(*fields: str, mask: str = "", **given: Any) -> BadRequest:
        request = t.UpdateTaskDefRequest(
            task_def=TaskDef(**given), update_mask=FieldMask(paths=[mask] if mask else [])
        )
        return BadRequest("UpdateTaskDef", request, INVALID, fields)

    yield update("task_def.id", name="new")
    yield update("task_def.name", id=DEF, mask="name")
    yield update("task_def.name", id=DEF, name="a\0b")
    yield update("task_def.status", id=DEF, status=99)
    yield update("task_def.config.a", id=DEF, config=json_object(a=float("nan")))
    yield update("task_def.config.blocks", id=DEF, config=json_object(blocks=True))
    yield update("update_mask", id=DEF, name="new", mask="colour")
    yield update("update_mask.paths[0]", id=DEF, name="new", mask="na\0me")
