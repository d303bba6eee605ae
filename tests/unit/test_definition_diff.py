"""The changes between two versions: what they say, and that they lead from one to the other."""

from itertools import combinations, permutations
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import DiffTaskDefVersionsResponse, TaskDefChange

from tests.support.literal_changes import applied, content, parse
from vwed_grpc.domain.config_tree import config_problems
from vwed_grpc.domain.definition_diff import diff, difference
from vwed_grpc.domain.definition_path import block_path, member_path

Changes = list[tuple[str, str, Any, Any]]
"""Kind, path, before, after; UNSET for what is not there."""

UNSET = "unset"
ADDED, REMOVED, CHANGED, MOVED = "ADDED", "REMOVED", "CHANGED", "MOVED"


def task_def(config: dict[str, Any] | None = None, **others: Any) -> TaskDef:
    definition = TaskDef(**others)
    if config is not None:
        definition.config.SetInParent()
        ParseDict(config, definition.config)
        assert config_problems(definition.config) == []
    return definition


def block(block_id: str, **others: Any) -> dict[str, Any]:
    return {"id": block_id, "type": "move", **others}


def changes(before: TaskDef, after: TaskDef) -> Changes:
    raw = difference(before.SerializeToString(), after.SerializeToString())
    found = [*DiffTaskDefVersionsResponse.FromString(raw).changes]
    copy = TaskDef.FromString(before.SerializeToString())
    assert applied(before, found) == content(after)
    assert before == copy
    return [
        (
            TaskDefChange.Kind.Name(change.kind).removeprefix("KIND_"),
            change.path,
            MessageToDict(change.before) if change.HasField("before") else UNSET,
            MessageToDict(change.after) if change.HasField("after") else UNSET,
        )
        for change in found
    ]


def config_changes(before: dict[str, Any], after: dict[str, Any]) -> Changes:
    return changes(task_def(before), task_def(after))


def at(parent: str, branch: str, index: int) -> dict[str, Any]:
    return {"parent": parent, "branch": branch, "index": index}


def test_fields_and_labels() -> None:
    before = task_def(name="a", description="", task_type="x", labels={"zone": "1", "a.b": "2"})
    after = task_def(name="b", description="d", task_type="x", labels={"zone": "3", "c": "2"})
    assert changes(before, after) == [
        (CHANGED, "name", "a", "b"),
        (CHANGED, "description", "", "d"),
        (REMOVED, "labels.a.b", "2", UNSET),
        (ADDED, "labels.c", UNSET, "2"),
        (CHANGED, "labels.zone", "1", "3"),
    ]


def test_only_content_counts() -> None:
    assert diff(task_def(id="a", version=1, change_note="x"), task_def({}, id="b", etag="y")) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"a": None}, [(ADDED, "config.a", UNSET, None)]),
        ({"a": {}}, {}, [(REMOVED, "config.a", {}, UNSET)]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [(CHANGED, "config.a.b", 1, 2)]),
        ({"a": {"b": 1}}, {"a": {}}, [(REMOVED, "config.a.b", 1, UNSET)]),
        ({"a": {"b": 1}}, {"a": [1]}, [(CHANGED, "config.a", {"b": 1}, [1])]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [(CHANGED, "config.a", [{"b": 1}], [{"b": 2}])]),
        ({"a": {"b.c": 1}}, {"a": {"b.c": 2}}, [(CHANGED, r"config.a.b\.c", 1, 2)]),
        ({"blocks[x]": 1}, {"blocks[x]": 2}, [(CHANGED, r"config.blocks\[x\]", 1, 2)]),
        ({"": {"": 1}}, {"": {"": 2}}, [(CHANGED, "config..", 1, 2)]),
    ],
)
def test_members_of_the_config(
    before: dict[str, Any], after: dict[str, Any], found: Changes
) -> None:
    assert config_changes(before, after) == found


def test_below_a_long_path_objects_are_compared_as_a_whole() -> None:
    key = "k" * 600
    before, after = {key: {"a": 1}}, {key: {"a": 2}}
    assert config_changes(before, after) == [(CHANGED, f"config.{key}", {"a": 1}, {"a": 2})]


def test_inputs_by_name() -> None:
    a, b, c = ({"name": name, "type": "string"} for name in ("a", "b.x", "c"))
    integer = {"name": "a", "type": "integer"}
    assert config_changes({"inputs": [a, b]}, {"inputs": [integer, c]}) == [
        (CHANGED, "config.inputs.a.type", "string", "integer"),
        (REMOVED, r"config.inputs.b\.x", b, UNSET),
        (ADDED, "config.inputs.c", UNSET, c),
    ]
    assert config_changes({"inputs": [a, b]}, {"inputs": [b, a]}) == [
        (CHANGED, "config.inputs", [a, b], [b, a])
    ]
    assert config_changes({}, {"inputs": []}) == [(ADDED, "config.inputs", UNSET, [])]
    assert config_changes({"inputs": [a]}, {}) == [(REMOVED, "config.inputs", [a], UNSET)]


def test_blocks_by_id_wherever_they_stand() -> None:
    before = [block("a", children={"default": [block("drive-1", inputs={"target": "A"})]})]
    after = [block("a", children={"default": [block("drive-1", inputs={"target": "B"})]})]
    path = "config.blocks[drive-1].inputs.target"
    assert config_changes({"blocks": before}, {"blocks": after}) == [(CHANGED, path, "A", "B")]


def test_a_block_at_the_end_is_just_added() -> None:
    a, b = block("a"), block("b", children={"x": [block("c")]})
    found = [(ADDED, "config.blocks[b]", UNSET, b)]
    assert config_changes({"blocks": [a]}, {"blocks": [a, b]}) == found


def test_a_block_elsewhere_is_added_and_told_its_place() -> None:
    a, b, c = block("a"), block("b"), block("c")
    assert config_changes({"blocks": [a, b]}, {"blocks": [a, c, b]}) == [
        (ADDED, "config.blocks[c]", UNSET, c),
        (MOVED, "config.blocks[c]", UNSET, at("", "", 1)),
    ]
    assert config_changes({"blocks": [a]}, {"blocks": [block("a", children={"x": [c]})]}) == [
        (ADDED, "config.blocks[c]", UNSET, c),
        (MOVED, "config.blocks[c]", UNSET, at("a", "x", 0)),
    ]


def test_a_new_block_is_added_without_what_was_there_before() -> None:
    leaf, old = block("leaf"), block("old")
    inner = block("inner", children={"z": [old]})
    new = block("new", children={"z": [inner, leaf]})
    added = block("new", children={"z": [block("inner", children={"z": []}), leaf]})
    assert config_changes({"blocks": [old]}, {"blocks": [new]}) == [
        (ADDED, "config.blocks[new]", UNSET, added),
        (MOVED, "config.blocks[old]", at("", "", 0), at("inner", "z", 0)),
    ]


def test_few_blocks_move() -> None:
    ids = [str(n) for n in range(100)]
    before = {"blocks": [block(block_id) for block_id in ids]}
    after = {"blocks": [block(block_id) for block_id in ["99", *ids[:50], *ids[51:99], "50"]]}
    assert config_changes(before, after) == [
        (MOVED, "config.blocks[99]", at("", "", 99), at("", "", 0)),
        (MOVED, "config.blocks[50]", at("", "", 50), at("", "", 99)),
    ]


def test_as_few_as_possible_move() -> None:
    """All but the most that are in the order in which they were."""
    before = {"blocks": [block(each) for each in "abcde"]}
    for order in permutations("abcde"):
        in_order = max(
            size
            for size in range(1, 6)
            if any([*kept] == sorted(kept) for kept in combinations(order, size))
        )
        after = {"blocks": [block(each) for each in order]}
        moved = {path for _, path, _, _ in config_changes(before, after)}
        assert len(moved) == 5 - in_order, order


def test_a_block_survives_its_parent() -> None:
    before = [block("p", children={"x": [block("a"), block("b"), block("c")]})]
    after = [block("b")]
    left = block("p", children={"x": [block("a"), block("c")]})
    assert config_changes({"blocks": before}, {"blocks": after}) == [
        (MOVED, "config.blocks[b]", at("p", "x", 1), at("", "", 0)),
        (REMOVED, "config.blocks[p]", left, UNSET),
    ]


def test_what_is_in_the_way_goes_first() -> None:
    b, c, p = block("b"), block("c"), block("p", children={"x": [block("s"), block("g")]})
    left = block("p", children={"x": [block("g")]})
    assert config_changes(
        {"blocks": [p, b, c, block("d")]}, {"blocks": [b, block("d"), c, block("s")]}
    ) == [
        (MOVED, "config.blocks[s]", at("p", "x", 0), at("", "", 4)),
        (REMOVED, "config.blocks[p]", left, UNSET),
        (MOVED, "config.blocks[d]", at("", "", 3), at("", "", 1)),
        (MOVED, "config.blocks[s]", at("p", "x", 0), at("", "", 3)),
    ]
    before = [
        block("a", children={"x": [b, c]}),
        block("d", children={"x": [block("e"), block("f")]}),
    ]
    after = [
        block("a", children={"x": [c, block("e")]}),
        block("d", children={"x": [block("f"), b]}),
    ]
    assert config_changes({"blocks": before}, {"blocks": after}) == [
        (MOVED, "config.blocks[b]", at("a", "x", 0), at("", "", 2)),
        (MOVED, "config.blocks[e]", at("d", "x", 0), at("a", "x", 1)),
        (MOVED, "config.blocks[b]", at("a", "x", 0), at("d", "x", 1)),
    ]


def test_parent_and_child_change_places() -> None:
    before = [block("a", children={"x": [block("b", children={"y": [block("c")]})]})]
    after = [block("b", children={"y": [block("a", children={"x": [block("c")]})]})]
    assert config_changes({"blocks": before}, {"blocks": after}) == [
        (MOVED, "config.blocks[b]", at("a", "x", 0), at("", "", 0)),
        (MOVED, "config.blocks[a]", at("", "", 0), at("b", "y", 0)),
        (MOVED, "config.blocks[c]", at("b", "y", 0), at("a", "x", 0)),
    ]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"blocks": []}, [(ADDED, "config.blocks", UNSET, [])]),
        ({"blocks": []}, {}, [(REMOVED, "config.blocks", [], UNSET)]),
        ({}, {"blocks": [block("a")]}, [(ADDED, "config.blocks[a]", UNSET, block("a"))]),
        (
            {"blocks": [block("a")]},
            {},
            [
                (REMOVED, "config.blocks[a]", block("a"), UNSET),
                (REMOVED, "config.blocks", [], UNSET),
            ],
        ),
        (
            {"blocks": [block("a")]},
            {"blocks": [block("a", children={})]},
            [(ADDED, "config.blocks[a].children", UNSET, {})],
        ),
        (
            {"blocks": [block("a", children={"x.y": []})]},
            {"blocks": [block("a", children={"z": []})]},
            [
                (REMOVED, r"config.blocks[a].children.x\.y", [], UNSET),
                (ADDED, "config.blocks[a].children.z", UNSET, []),
            ],
        ),
        (
            {"blocks": [block("a", children={"x": [block("b")]})]},
            {"blocks": [block("a"), block("b")]},
            [
                (MOVED, "config.blocks[b]", at("a", "x", 0), at("", "", 1)),
                (REMOVED, "config.blocks[a].children", {}, UNSET),
            ],
        ),
    ],
)
def test_lists_of_blocks_that_come_and_go(
    before: dict[str, Any], after: dict[str, Any], found: Changes
) -> None:
    assert config_changes(before, after) == found


TEXT = st.text(st.sampled_from("a.[]\\é "), max_size=4)


@given(TEXT, st.lists(TEXT, min_size=1))
def test_no_two_places_have_the_same_path(block_id: str, steps: list[str]) -> None:
    in_config, in_block = "config", block_path(block_id)
    for step in steps:
        in_config, in_block = member_path(in_config, step), member_path(in_block, step)
    assert parse(in_config) == (None, steps)
    assert parse(in_block) == (block_id, steps)
    assert parse(block_path(block_id)) == (block_id, [])


IDS = ["a", "b", "c", "d", "e", "f]", "g.h", "[\\", "i\n", "config.blocks[a]"]
SCALARS = st.integers(0, 2) | st.sampled_from(["", "x", None])
OBJECTS = st.dictionaries(
    st.sampled_from(["k", "a.b", "]", "", "blocks[a]"]),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["k", "l.m"]), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=3,
)


@st.composite
def block_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A random tree of some of IDS, in any order."""
    roots: list[dict[str, Any]] = []
    blocks: list[dict[str, Any]] = []
    for block_id in draw(st.lists(st.sampled_from(IDS), unique=True)):
        new = block(block_id, **draw(st.fixed_dictionaries({}, optional={"inputs": OBJECTS})))
        if draw(st.integers(0, 4)) == 0:
            new["children"] = draw(st.sampled_from([{}, {"x": []}, {"": [], "y.z": []}]))
            new["children"] = {branch: [] for branch in new["children"]}
        parent = draw(st.integers(-2, len(blocks) - 1))
        siblings = roots
        if parent >= 0 and levels(blocks[parent], roots) < 7:
            children = blocks[parent].setdefault("children", {})
            siblings = children.setdefault(draw(st.sampled_from(["x", "y.z"])), [])
        siblings.insert(draw(st.integers(0, len(siblings))), new)
        blocks.append(new)
    return roots


def levels(of: dict[str, Any], roots: list[dict[str, Any]]) -> int:
    """How many blocks stand around one."""
    around, level = 0, roots
    while of not in level:
        level = [
            child
            for each in level
            for branch in each.get("children", {}).values()
            for child in branch
        ]
        around += 1
    return around


@st.composite
def definitions(draw: st.DrawFn) -> TaskDef:
    config: dict[str, Any] = draw(OBJECTS)
    if draw(st.integers(0, 5)):
        config["blocks"] = draw(block_lists())
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(["a", "b.c", "]"]), unique=True))
        types = st.sampled_from(["string", "integer"])
        config["inputs"] = [{"name": name, "type": draw(types)} for name in names]
    texts = st.sampled_from(["", "a", "b"])
    labels = st.dictionaries(st.sampled_from(["a", "a.b"]), texts)
    return task_def(config or None, name=draw(texts), task_type=draw(texts), labels=draw(labels))


@settings(max_examples=200, deadline=None)
@given(definitions(), definitions())
def test_the_changes_from_a_to_b_applied_to_a_give_b(a: TaskDef, b: TaskDef) -> None:
    assert (changes(a, b) == []) == (content(a) == content(b))
    assert changes(a, a) == []


@settings(max_examples=40, deadline=None)
@given(definitions(), definitions())
def test_places_are_those_in_the_two_versions(a: TaskDef, b: TaskDef) -> None:
    last = {}
    for kind, path, before, after in changes(a, b):
        if kind == MOVED:
            block_id, _ = parse(path)
            assert before == UNSET or stands_at(a.config, before) == block_id
            last[block_id] = after
    for block_id, place in last.items():
        assert stands_at(b.config, place) == block_id


def stands_at(config: Struct, place: dict[str, Any]) -> str:
    lists = {("", ""): MessageToDict(config).get("blocks", [])}
    todo = list(lists[("", "")])
    for each in todo:
        for branch, blocks in each.get("children", {}).items():
            lists[(each["id"], branch)] = blocks
            todo.extend(blocks)
    found: str = lists[(place["parent"], place["branch"])][int(place["index"])]["id"]
    return found


@settings(max_examples=30, deadline=None)
@given(definitions(), definitions())
def test_the_same_versions_always_give_the_same_changes(a: TaskDef, b: TaskDef) -> None:
    again = (TaskDef.FromString(each.SerializeToString(deterministic=True)) for each in (a, b))
    assert diff(a, b) == diff(*again)
