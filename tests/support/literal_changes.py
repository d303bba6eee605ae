"""The changes of DiffTaskDefVersions, applied one after another by what each says."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import TaskDefChange

FIELDS = ("name", "description", "task_type", "config", "labels")

_BLOCK = re.compile(r"config\.blocks\[((?:[^\]\\]|\\.)*)\]", re.DOTALL)
_STEP = re.compile(r"\.((?:[^.\\]|\\.)*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def content(task_def: TaskDef) -> dict[str, Any]:
    """The versioned fields as JSON; an unset config is the empty object."""
    fields = MessageToDict(task_def, preserving_proto_field_name=True)
    empty: dict[str, Any] = {"name": "", "description": "", "task_type": "", "config": {}}
    return {**empty, "labels": {}, **{key: fields[key] for key in FIELDS if key in fields}}


def applied(before: TaskDef, changes: Iterable[TaskDefChange]) -> dict[str, Any]:
    """The `content` that the changes lead to."""
    after = content(before)
    for change in changes:
        field, _, rest = change.path.partition(".")
        if field == "labels":
            _set(after["labels"], rest, change)
        elif field == "config":
            _apply(change, after["config"])
        else:
            _set(after, field, change)
    return after


def parse(path: str) -> tuple[str | None, list[str]]:
    """The id of the block that a path below `config` is in, if it is in one, and the steps there.

    `config.speed` is (None, ["speed"]), `config.blocks[a].inputs` is ("a", ["inputs"]).
    """
    block = _BLOCK.match(path)
    steps = [_plain(step) for step in _STEP.findall(path, block.end() if block else len("config"))]
    return _plain(block[1]) if block else None, steps


def _plain(escaped: str) -> str:
    return _ESCAPED.sub(r"\1", escaped)


def _apply(change: TaskDefChange, config: dict[str, Any]) -> None:
    block_id, steps = parse(change.path)
    if block_id is None:
        if steps[0] == "inputs" and len(steps) > 1:
            _apply_to_input(change, config["inputs"], steps[1:])
        else:
            _apply_to_member(change, config, steps)
    elif change.kind == TaskDefChange.KIND_ADDED and not steps:
        config.setdefault("blocks", []).append(MessageToDict(change.after))
    else:
        [(siblings, block)] = [each for each in _blocks(config) if each[1]["id"] == block_id]
        if steps:
            _apply_to_member(change, block, steps)
            return
        siblings.remove(block)
        if change.kind == TaskDefChange.KIND_REMOVED:
            assert block == MessageToDict(change.before)
            return
        place: dict[str, Any] = MessageToDict(change.after)
        siblings = config.setdefault("blocks", [])
        if place["parent"]:
            [parent] = [b for _, b in _blocks(config) if b["id"] == place["parent"]]
            siblings = parent.setdefault("children", {}).setdefault(place["branch"], [])
        assert place["index"] <= len(siblings)
        siblings.insert(int(place["index"]), block)


def _blocks(config: dict[str, Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Every block with the list that it stands in."""
    lists = [config.get("blocks", [])]
    for each in lists:
        for block in each:
            yield each, block
            lists += block.get("children", {}).values()


def _apply_to_member(change: TaskDefChange, inside: dict[str, Any], steps: list[str]) -> None:
    for step in steps[:-1]:
        inside = inside[step]
    _set(inside, steps[-1], change)


def _set(inside: dict[str, Any], key: str, change: TaskDefChange) -> None:
    if change.HasField("after"):
        inside[key] = MessageToDict(change.after)
    else:
        del inside[key]


def _apply_to_input(change: TaskDefChange, inputs: list[Any], steps: list[str]) -> None:
    names = [each["name"] for each in inputs]
    if steps[0] not in names:
        inputs.append(MessageToDict(change.after))
    elif len(steps) > 1:
        _apply_to_member(change, inputs[names.index(steps[0])], steps[1:])
    elif change.HasField("after"):
        inputs[names.index(steps[0])] = MessageToDict(change.after)
    else:
        del inputs[names.index(steps[0])]
