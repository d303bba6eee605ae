"""A run's input against the inputs that its definition declares."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.run_input import complete_input

CONFIG = ParseDict(
    {
        "inputs": [
            {"name": "target", "type": "string", "required": True},
            {"name": "speed", "type": "number", "default": 1.5},
            {"name": "count", "type": "integer"},
            {"name": "force", "type": "boolean", "required": True, "default": False},
        ]
    },
    Struct(),
)


def struct(content: dict[str, Any]) -> Struct:
    return ParseDict(content, Struct())


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        ({"target": "a"}, {"target": "a", "speed": 1.5, "force": False}),
        (
            {"target": "", "speed": 2, "count": -3, "force": True},
            {"target": "", "speed": 2, "count": -3, "force": True},
        ),
        (
            {"target": "a", "order": {"id": 7}},
            {"target": "a", "order": {"id": 7}, "speed": 1.5, "force": False},
        ),
    ],
)
def test_defaults_are_filled_in_and_other_names_kept(
    given: dict[str, Any], complete: dict[str, Any]
) -> None:
    run_input = struct(given)
    complete_input(CONFIG, run_input)
    assert MessageToDict(run_input) == complete


def test_a_config_without_inputs_takes_every_input() -> None:
    given = struct({"a": 1})
    complete_input(Struct(), given)
    assert given == struct({"a": 1})


def test_every_problem_is_named_by_its_path() -> None:
    given = struct({"speed": "fast", "count": 1.5, "force": None})
    with pytest.raises(InvalidArgument) as refused:
        complete_input(CONFIG, given)
    assert [(v.field, v.description) for v in refused.value.violations] == [
        ("task_record.input.target", "is required"),
        ("task_record.input.speed", "must be of type number"),
        ("task_record.input.count", "must be of type integer"),
        ("task_record.input.force", "must be of type boolean"),
    ]


def test_defaults_do_not_take_it_over_the_limits() -> None:
    text = "x" * 600_000
    config = struct({"inputs": [{"name": "a", "type": "string", "default": text}]})
    with pytest.raises(InvalidArgument, match=r"task_record\.input: is larger than"):
        complete_input(config, struct({"b": text}))
