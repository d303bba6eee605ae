"""The contract's limits of JSON: what a `google.protobuf.Struct` or `Value` may hold.

A *node* is one `google.protobuf.Value`. A *level* is one object or list around the next: the
outermost is level 1, scalars add none. Paths join map keys by dots and list items by `[i]`.
A `null_value` of any number is null, as protobuf's own JSON has it.
"""

import re
from collections.abc import Iterator
from itertools import islice
from math import isfinite

from google.protobuf.struct_pb2 import Struct, Value

from vwed_grpc.domain.errors import Violation

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_LEVELS = 30
MAX_PROBLEMS = 100
"""The walk ends here: an answer's trailers carry no more, and paths are not small."""

_MAX_KEY_IN_PATH = 128
"""A longer key is cut in paths, else one key of 500 KB above 10,000 bad values costs 5 GB."""

# C code prints the text format in the time that Python needs to look at three values. So what is
# fine is let through by searching that text; it may suspect what is fine, never miss what is not.
# Newlines and U+0000 inside strings are escaped there: a match that spans lines is structure.
_MAX_TEXT_BYTES = 64 * 1024
"""A longer message has no text made: it may be 200 times as long. Below are < MAX_NODES nodes."""

_UNSET = re.compile(r"\{\n(?= *+\})(?<=(?: value|values) \{\n)")
_NOT_FINITE = re.compile(rb"\x11......[\xf0-\xff][\x7f\xff]", re.DOTALL)
"""`number_value` on the wire: its tag, then a little-endian double whose exponent is all ones.

A length of 17 before an ordinary number may look so too; the text tells, which takes 40 times as
long to search.
"""

_TOO_DEEP = "\n" + " " * (4 * MAX_LEVELS)
"""A list in a list is printed four columns further right, an object in an object six."""
_TOO_DEEP_CHARS = 2 * sum(range(0, 4 * MAX_LEVELS, 2))
"""What is too deep has this much indentation, opening and closing; less is not searched."""

_CONTAINERS = frozenset({"struct_value", "list_value"})


def struct_problems(struct: Struct, path: str) -> list[Violation]:
    """What keeps an object from being the contract's JSON, by path below `path`; empty if fine.

    Above 1 MiB that is the only finding, above 50,000 nodes the last; at most `MAX_PROBLEMS`.
    """
    return _problems(struct, path)


def value_problems(value: Value, path: str) -> list[Violation]:
    """As `struct_problems`, for any JSON value."""
    return _problems(value, path)


def member(path: str, step: str | int) -> str:
    """The path of an object's member or a list's item, made safe to show."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    if len(step) > _MAX_KEY_IN_PATH:
        step = step[:_MAX_KEY_IN_PATH] + "…"
    return f"{path}.{step}".replace("\0", "\\0")


def _problems(root: Struct | Value, path: str) -> list[Violation]:
    wire = root.SerializeToString()
    if len(wire) > MAX_BYTES:
        return [Violation(path, f"is larger than {MAX_BYTES:,} bytes")]
    if len(wire) <= _MAX_TEXT_BYTES and not _suspicious(str(root), wire):
        return []
    return list(islice(_walk(root, path), MAX_PROBLEMS))


def _suspicious(text: str, wire: bytes) -> bool:
    return (
        not text  # empty, or an unset value
        or _UNSET.search(text) is not None
        or (_NOT_FINITE.search(wire) is not None and ("nan\n" in text or "inf\n" in text))
        or ("\\" in text and "\\000" in text)
        or (len(text) >= _TOO_DEEP_CHARS and _TOO_DEEP in text)
    )


def _walk(root: Struct | Value, path: str) -> Iterator[Violation]:
    """Every problem, depth first. No recursion, and a path is built only where it is needed."""
    nodes = 0
    if isinstance(root, Value):
        nodes = 1
        if problem := _problem(root, root.WhichOneof("kind")):
            yield Violation(path, problem)
    containers = [(path, _items(root))]
    while containers:
        where, items = containers[-1]
        for step, value in items:
            nodes += 1
            if nodes > MAX_NODES:
                yield Violation(path, f"has more than {MAX_NODES:,} values")
                return
            if isinstance(step, str) and "\0" in step:
                yield Violation(member(where, step), "has U+0000 in its key")
            kind = value.WhichOneof("kind")
            if problem := _problem(value, kind):
                yield Violation(member(where, step), problem)
            elif kind in _CONTAINERS:
                if len(containers) < MAX_LEVELS:
                    containers.append((member(where, step), _items(value)))
                    break
                yield Violation(member(where, step), f"nests deeper than {MAX_LEVELS} levels")
        else:
            containers.pop()


def _items(container: Struct | Value) -> Iterator[tuple[str | int, Value]]:
    if isinstance(container, Value):
        if container.HasField("list_value"):
            return enumerate(container.list_value.values)
        container = container.struct_value
    fields = container.fields
    return ((key, fields[key]) for key in sorted(fields))  # maps have no order of their own


def _problem(value: Value, kind: str | None) -> str | None:
    match kind:
        case None:
            return "is not JSON: no kind is set"
        case "number_value" if not isfinite(value.number_value):
            return "is not a finite number"
        case "string_value" if "\0" in value.string_value:
            return "contains U+0000"
        case _:
            return None
