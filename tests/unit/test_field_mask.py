"""The contract's field masks, on a definition."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from vwed.v1.task_def_pb2 import TaskDef

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask, masked_fields

MUTABLE = frozenset({"name", "description", "task_type", "config", "labels"})


def definition(name: str, speed: float, **labels: str) -> TaskDef:
    config = ParseDict({"speed": speed}, Struct())
    return TaskDef(id="a", name=name, config=config, labels=labels, version=3)


@pytest.mark.parametrize(
    ("paths", "fields"),
    [
        ([], {"name", "config", "labels"}),
        (["*"], MUTABLE),
        (["*", "name"], MUTABLE),
        (["name"], {"name"}),
        (["description", "labels", "description"], {"description", "labels"}),
    ],
)
def test_the_fields_of_a_mask(paths: list[str], fields: set[str]) -> None:
    resource = definition("n", 1.0, zone="a")
    assert masked_fields(FieldMask(paths=paths), resource, MUTABLE) == fields


def test_an_empty_mask_and_nothing_populated_is_nothing() -> None:
    assert masked_fields(FieldMask(), TaskDef(id="a"), MUTABLE) == frozenset()


@pytest.mark.parametrize(
    ("path", "description"),
    [
        ("colour", "'colour' is not a field of TaskDef"),
        ("", "'' is not a field of TaskDef"),
        ("Name", "'Name' is not a field of TaskDef"),
        ("task_def.name", "'task_def.name' is not a field of TaskDef"),
        ("labels.zone", "'labels.zone' is inside a field, which is replaced whole"),
        ("config.x", "'config.x' is inside a field, which is replaced whole"),
        ("version", "'version' cannot be updated"),
        ("id", "'id' cannot be updated"),
        ("x" * 65, f"{'x' * 64!r} is not a field of TaskDef"),
    ],
)
def test_a_path_that_is_not_a_mutable_field_is_refused(path: str, description: str) -> None:
    for paths in ([path], ["name", path], ["*", path]):
        with pytest.raises(InvalidArgument) as refused:
            masked_fields(FieldMask(paths=paths), TaskDef(), MUTABLE)
        [violation] = refused.value.violations
        assert (violation.field, violation.description) == ("update_mask", description)


def test_masked_fields_become_what_they_are_in_the_source() -> None:
    target = definition("old", 1.0, zone="a", floor="1")
    apply_mask(target, definition("new", 2.0, zone="b"), {"config", "labels"})
    assert target == definition("old", 2.0, zone="b")


def test_masked_fields_that_are_absent_are_cleared() -> None:
    target = definition("old", 1.0, zone="a")
    apply_mask(target, TaskDef(name="new"), {"name", "config", "labels"})
    assert target == TaskDef(id="a", name="new", version=3)


def test_a_message_that_is_set_and_empty_stays_set() -> None:
    target = definition("old", 1.0)
    apply_mask(target, TaskDef(config=Struct()), {"config"})
    assert target.HasField("config")
    assert target.config == Struct()


def test_the_source_is_not_changed_or_shared() -> None:
    target, source = TaskDef(), definition("new", 1.0, zone="a")
    apply_mask(target, source, {"config", "labels"})
    target.config.fields["speed"].number_value = 9
    target.labels["zone"] = "z"
    assert source == definition("new", 1.0, zone="a")


def test_a_large_message_is_copied_too() -> None:
    source = TaskDef(config=ParseDict({"text": "x" * 100_000, "speed": 2.0}, Struct()))
    target = definition("old", 1.0, zone="a")
    apply_mask(target, source, {"config"})
    assert target == TaskDef(
        id="a", name="old", config=source.config, labels={"zone": "a"}, version=3
    )
