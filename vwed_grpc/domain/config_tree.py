"""The contract's 'Task configuration': the inputs and the tree of blocks that a config declares.

Any JSON object is a config; only `inputs` and `blocks`, where present, must be well formed. Keys
that are not named here are the caller's own, in the config, in an input and in a block.
"""

from collections import deque
from collections.abc import Iterator, Mapping

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_value import member

MAX_BLOCKS = 2_000
MAX_BLOCK_LEVELS = 8
MAX_BLOCK_TEXT = 128
"""Characters of a block's id and of its type."""

_KIND_OF_TYPE = {
    "string": "string_value",
    "integer": "number_value",
    "number": "number_value",
    "boolean": "bool_value",
    "object": "struct_value",
    "array": "list_value",
}


def config_problems(config: Struct, path: str = "config") -> list[Violation]:
    """Everything in `inputs` and `blocks` that is not well formed, each by its path below `path`.

    Past 2,000 blocks the rest of the tree is not looked at. The limits of JSON itself are
    `json_value.struct_problems`.
    """
    problems: list[Violation] = []
    inputs = config.fields.get("inputs")
    if inputs is not None:
        problems.extend(_input_problems(inputs, f"{path}.inputs"))
    blocks = config.fields.get("blocks")
    if blocks is not None:
        problems.extend(_block_problems(blocks, f"{path}.blocks"))
    return problems


def block_count(config: Struct) -> int:
    """How many blocks the tree of a well-formed config has, at all levels."""
    blocks = config.fields.get("blocks")
    lists = [] if blocks is None else [blocks.list_value]
    count = 0
    while lists:
        items = lists.pop().values
        count += len(items)
        for block in items:
            children = block.struct_value.fields.get("children")
            if children is not None:
                lists.extend(branch.list_value for branch in children.struct_value.fields.values())
    return count


def fits(value: Value, input_type: str) -> bool:
    """Whether a value is of an input's `type`; an integer is a number without a fraction."""
    if value.WhichOneof("kind") != _KIND_OF_TYPE[input_type]:
        return False
    return input_type != "integer" or value.number_value.is_integer()


def _input_problems(inputs: Value, path: str) -> Iterator[Violation]:
    if not inputs.HasField("list_value"):
        yield Violation(path, "must be a list")
    first_place: dict[str, str] = {}
    for index, item in enumerate(inputs.list_value.values):
        where = member(path, index)
        if not item.HasField("struct_value"):
            yield Violation(where, "must be an object")
            continue
        fields = item.struct_value.fields
        name = _text(fields, "name")
        if not name:
            yield Violation(f"{where}.name", "must be a string that is not empty")
        elif first_place.setdefault(name, where) != where:
            yield Violation(f"{where}.name", f"is already the name of {first_place[name]}")
        input_type = _text(fields, "type")
        default = fields.get("default")
        if input_type not in _KIND_OF_TYPE:
            yield Violation(f"{where}.type", f"must be one of {', '.join(_KIND_OF_TYPE)}")
        elif default is not None and not fits(default, input_type):
            yield Violation(f"{where}.default", f"must be of type {input_type}")
        required = fields.get("required")
        if required is not None and not required.HasField("bool_value"):
            yield Violation(f"{where}.required", "must be a boolean")


def _block_problems(blocks: Value, path: str) -> Iterator[Violation]:
    """Level by level, so the first place of a duplicate id is the one nearest to the root."""
    if not blocks.HasField("list_value"):
        yield Violation(path, "must be a list")
    count = 0
    first_place: dict[str, str] = {}
    lists: deque[tuple[ListValue, str, int]] = deque([(blocks.list_value, path, 1)])
    while lists:
        items, list_path, level = lists.popleft()
        if level > MAX_BLOCK_LEVELS and items.values:
            yield Violation(list_path, f"is deeper than {MAX_BLOCK_LEVELS} levels of blocks")
            continue
        count += len(items.values)
        if count > MAX_BLOCKS:
            yield Violation(path, f"has more than {MAX_BLOCKS:,} blocks in its tree")
            return
        for index, block in enumerate(items.values):
            where = f"{list_path}[{index}]"
            if not block.HasField("struct_value"):
                yield Violation(where, "must be an object")
                continue
            fields = block.struct_value.fields
            yield from _own_problems(fields, where)
            block_id = _text(fields, "id")
            if block_id and first_place.setdefault(block_id, where) != where:
                yield Violation(f"{where}.id", f"is already the id of {first_place[block_id]}")
            for branch_path, branch in _branches(fields, where):
                if branch.HasField("list_value"):
                    lists.append((branch.list_value, branch_path, level + 1))
                else:
                    yield Violation(branch_path, "must be a list of blocks")


def _own_problems(fields: Mapping[str, Value], where: str) -> Iterator[Violation]:
    """What is wrong with one block, whatever the others are."""
    for key in ("id", "type"):
        if not 1 <= len(_text(fields, key)) <= MAX_BLOCK_TEXT:
            yield Violation(
                f"{where}.{key}", f"must be a string of 1 to {MAX_BLOCK_TEXT} characters"
            )
    name = fields.get("name")
    if name is not None and not name.HasField("string_value"):
        yield Violation(f"{where}.name", "must be a string")
    for key in ("inputs", "children"):
        value = fields.get(key)
        if value is not None and not value.HasField("struct_value"):
            yield Violation(f"{where}.{key}", "must be an object")


def _branches(fields: Mapping[str, Value], where: str) -> Iterator[tuple[str, Value]]:
    children = fields.get("children")
    if children is not None:
        branches = children.struct_value.fields
        for name in sorted(branches):  # maps have no order of their own
            yield member(f"{where}.children", name), branches[name]


def _text(fields: Mapping[str, Value], key: str) -> str:
    """A string member; of another kind or absent: the empty string."""
    value = fields.get(key)
    return "" if value is None else value.string_value
