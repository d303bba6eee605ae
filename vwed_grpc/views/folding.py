"""How a tree of many blocks is shown in few rows: what is at work or went wrong stays in sight."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vwed_grpc.views.run_view import Node
from vwed_grpc.views.words import MARKS

_FINE = frozenset({"SUCCEEDED", "SKIPPED"})


@dataclass(frozen=True, slots=True)
class Row:
    """A block, or several that are folded into one."""

    depth: int
    node: Node
    """Of several: the first of them."""
    folded: Counter[str] | None = None
    """How many of them have which status; None: it is one."""

    @property
    def text(self) -> str:
        """`lift 叉取`, or of several `each_line *24 +23 x1`."""
        if self.folded is None:
            return self.node.title
        counts = " ".join(
            f"{MARKS[status].strip() or '?'}{count}" for status, count in self.folded.items()
        )
        return f"{self.node.block_id} *{self.folded.total()} {counts}"


def rows(nodes: Sequence[Node], *, most: int) -> tuple[list[Row], int]:
    """At most so many rows of the tree, and how many blocks are not in them.

    It is folded only as far as needed: first iterations that are over, then what lies below blocks
    that are over, then all that is neither at work nor failed.
    """
    found: list[Row] = []
    for is_folded, shows_below_done in (
        (_never, True),
        (_is_iteration, True),
        (_is_iteration, False),
    ):
        found = list(_rows(nodes, 0, is_folded, shows_below_done))
        if len(found) <= most:
            return found, 0
    urgent = [row for row in found if _is_urgent(row)]
    shown = urgent[:most] if len(urgent) >= most else _with_others(found, most)
    return shown, len(found) - len(shown)


def _rows(
    nodes: Iterable[Node], depth: int, is_folded: Callable[[Node], bool], shows_below_done: bool
) -> Iterator[Row]:
    for folds, group in groupby(nodes, is_folded):
        if folds:
            yield from _folded(list(group), depth)
            continue
        for node in group:
            yield Row(depth, node)
            if shows_below_done or not _is_over(node):
                yield from _rows(node.children, depth + 1, is_folded, shows_below_done)


def _folded(nodes: Sequence[Node], depth: int) -> Iterator[Row]:
    by_block: dict[str, list[Node]] = {}
    for node in nodes:
        by_block.setdefault(node.block_id, []).append(node)
    for same in by_block.values():
        counts = Counter(node.status for node in same) if len(same) > 1 else None
        yield Row(depth, same[0], counts)


def _never(_: Node) -> bool:
    return False


def _is_iteration(node: Node) -> bool:
    return bool(node.iteration) and _is_over(node)


def _is_over(node: Node) -> bool:
    return node.status in _FINE and all(map(_is_over, node.children))


def _is_urgent(row: Row) -> bool:
    if row.folded is not None:
        return bool(row.folded.keys() - _FINE - {""})
    return row.node.status not in _FINE | {"", "PENDING"}


def _with_others(found: Sequence[Row], most: int) -> list[Row]:
    """What is urgent, and of the rest what comes first, in the order of the tree."""
    room = most - sum(map(_is_urgent, found))
    shown = []
    for row in found:
        if not _is_urgent(row):
            if room <= 0:
                continue
            room -= 1
        shown.append(row)
    return shown
