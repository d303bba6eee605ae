"""The contract's 'Task configuration'."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.config_tree import block_count, config_problems

TYPES = "must be one of string, integer, number, boolean, object, array"
TEXT = "must be a string of 1 to 128 characters"


def config(content: dict[str, Any]) -> Struct:
    return ParseDict(content, Struct())


def block(block_id: Any = "a", **others: Any) -> dict[str, Any]:
    return {"id": block_id, "type": "move", **others}


def problems(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [(v.field, v.description) for v in config_problems(config(content))]


def chain(levels: int) -> list[dict[str, Any]]:
    blocks = [block(f"b{levels}")]
    for level in range(levels - 1, 0, -1):
        blocks = [block(f"b{level}", children={"default": blocks})]
    return blocks


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"anything": [1, {"id": 7}], "inputs": [], "blocks": []},
        {"blocks": [block(own_key=[None], name="Go", inputs={"id": 1}, children={})]},
        {"blocks": [block("ü" * 128), block("b", children={"then": [block("c")], "else": []})]},
        {"inputs": [{"name": "a", "type": "string", "own_key": 1}]},
        {"inputs": [{"name": "a", "type": "integer", "required": True, "default": 3}]},
        {"inputs": [{"name": "a", "type": "number", "default": 0.5}]},
        {"inputs": [{"name": "a", "type": "boolean", "default": False}]},
        {"inputs": [{"name": "a", "type": "object", "default": {}}]},
        {"inputs": [{"name": "a", "type": "array", "default": []}]},
        {"blocks": chain(8)},
    ],
)
def test_well_formed(content: dict[str, Any]) -> None:
    assert problems(content) == []


@pytest.mark.parametrize(
    ("blocks", "path", "description"),
    [
        ({}, "", "must be a list"),
        (None, "", "must be a list"),
        (["a"], "[0]", "must be an object"),
        ([{"type": "move"}], "[0].id", TEXT),
        ([{"id": "a"}], "[0].type", TEXT),
        ([block(7)], "[0].id", TEXT),
        ([block("")], "[0].id", TEXT),
        ([block("x" * 129)], "[0].id", TEXT),
        ([block(type="x" * 129)], "[0].type", TEXT),
        ([block(name=1)], "[0].name", "must be a string"),
        ([block(inputs=[])], "[0].inputs", "must be an object"),
        ([block(children=[])], "[0].children", "must be an object"),
        ([block(children={"then": {}})], "[0].children.then", "must be a list of blocks"),
        ([block(), block("b"), block()], "[2].id", "is already the id of config.blocks[0]"),
        (
            [block(children={"default": [block("b"), block()]})],
            "[0].children.default[1].id",
            "is already the id of config.blocks[0]",
        ),
        (
            [block("x"), block("y"), block("z", children={"default": [{"type": "move"}]})],
            "[2].children.default[0].id",
            TEXT,
        ),
        (chain(9), "[0]" + ".children.default[0]" * 7 + ".children.default", None),
        ([block(f"b{i}") for i in range(2001)], "", "has more than 2,000 blocks in its tree"),
    ],
)
def test_a_bad_block_is_named_by_its_path(blocks: Any, path: str, description: str | None) -> None:
    description = description or "is deeper than 8 levels of blocks"
    assert problems({"blocks": blocks}) == [(f"config.blocks{path}", description)]


@pytest.mark.parametrize(
    ("inputs", "path", "description"),
    [
        ("x", "", "must be a list"),
        ([1], "[0]", "must be an object"),
        ([{"type": "string"}], "[0].name", "must be a string that is not empty"),
        ([{"name": "", "type": "string"}], "[0].name", "must be a string that is not empty"),
        ([{"name": "a"}], "[0].type", TYPES),
        ([{"name": "a", "type": "float"}], "[0].type", TYPES),
        ([{"name": "a", "type": 1}], "[0].type", TYPES),
        ([{"name": "a", "type": "string", "required": 1}], "[0].required", "must be a boolean"),
        (
            [{"name": "a", "type": "string"}, {"name": "a", "type": "string"}],
            "[1].name",
            "is already the name of config.inputs[0]",
        ),
    ],
)
def test_a_bad_input_is_named_by_its_path(inputs: Any, path: str, description: str) -> None:
    assert problems({"inputs": inputs}) == [(f"config.inputs{path}", description)]


@pytest.mark.parametrize(
    ("input_type", "default"),
    [
        ("string", 1),
        ("string", None),
        ("integer", 1.5),
        ("integer", "1"),
        ("number", "1"),
        ("boolean", 0),
        ("object", []),
        ("array", {}),
    ],
)
def test_a_default_is_of_its_inputs_type(input_type: str, default: Any) -> None:
    inputs = [{"name": "a", "type": input_type, "default": default}]
    found = [("config.inputs[0].default", f"must be of type {input_type}")]
    assert problems({"inputs": inputs}) == found


def test_all_problems_are_reported_at_once() -> None:
    content = {
        "inputs": [{"name": "a", "type": "integer", "default": "x"}, {}],
        "blocks": [block(children={"b": [7], "a": [block()]}), {"name": []}],
    }
    assert [path for path, _ in problems(content)] == [
        "config.inputs[0].default",
        "config.inputs[1].name",
        "config.inputs[1].type",
        "config.blocks[1].id",
        "config.blocks[1].type",
        "config.blocks[1].name",
        "config.blocks[0].children.a[0].id",
        "config.blocks[0].children.b[0]",
    ]


def test_paths_begin_where_the_caller_says() -> None:
    [violation] = config_problems(config({"blocks": 1}), "task_template.config")
    assert violation.field == "task_template.config.blocks"


def test_2_000_blocks_count_over_the_whole_tree() -> None:
    branches = {str(n): [block(f"{n}-{i}") for i in range(199)] for n in range(10)}
    content = {"blocks": [block(str(n), children={"x": branches[str(n)]}) for n in range(10)]}
    assert problems(content) == []
    content["blocks"].append(block("one more"))
    assert problems(content) == [("config.blocks", "has more than 2,000 blocks in its tree")]


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ({}, 0),
        ({"blocks": []}, 0),
        ({"blocks": chain(8)}, 8),
        ({"blocks": [block(children={"a": [block("b")], "b": [block("c"), block("d")]})]}, 4),
    ],
)
def test_block_count(content: dict[str, Any], count: int) -> None:
    assert block_count(config(content)) == count


def test_reading_leaves_the_config_as_it_is() -> None:
    tree = config({"inputs": [{}], "blocks": [{}, 1]})
    before = tree.SerializeToString(deterministic=True)
    config_problems(tree)
    block_count(tree)
    assert tree.SerializeToString(deterministic=True) == before


def test_what_is_no_object_or_too_deep_hides_nothing_after_it() -> None:
    deep, *_ = chain(8)
    lowest = deep
    while "children" in lowest:
        [lowest] = lowest["children"]["default"]
    lowest["children"] = {"a": [block("too deep")], "b": [block("too deep too")]}
    below = "config.blocks[1]" + ".children.default[0]" * 7 + ".children"
    assert problems({"inputs": [1, 2], "blocks": ["a", deep, "b"]}) == [
        ("config.inputs[0]", "must be an object"),
        ("config.inputs[1]", "must be an object"),
        ("config.blocks[0]", "must be an object"),
        ("config.blocks[2]", "must be an object"),
        (f"{below}.a", "is deeper than 8 levels of blocks"),
        (f"{below}.b", "is deeper than 8 levels of blocks"),
    ]
