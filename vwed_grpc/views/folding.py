"""How a tree of many blocks is shown in few rows: what is at work or went wrong stays in sight."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vwed_grpc.views.run_view import Node
from vwed_grpc.views.words import MARKS

_FINE = frozenset({"SUCCEEDED", "SKIPPED"})
_AT_WORK = frozenset({"RUNNING", "PAUSED"})


@dataclass(frozen=True, slots=True)
class Row:
    """A block, or several of the same block that are folded into one."""

    depth: int
    nodes: Sequence[Node]

    @property
    def title(self) -> str:
        """`lift 叉取`, or of several `each_line *24 +23 x1`."""
        if len(self.nodes) == 1:
            return self.nodes[0].title
        counts = Counter(node.status for node in self.nodes)
        told = " ".join(f"{MARKS[status]}{count}" for status, count in counts.items())
        return f"{self.nodes[0].block_id} *{len(self.nodes)} {told}"

    @property
    def status(self) -> str:
        """Of the block; of several, which are over, the last one's."""
        return self.nodes[-1].status


def rows(nodes: Sequence[Node], *, most: int) -> tuple[list[Row], Counter[str]]:
    """At most so many rows of the tree, and how many blocks of each status are not in them.

    It is folded only as far as needed: first iterations that are over, then what lies below blocks
    that are over, then all that is neither at work nor failed. What failed comes before what was
    cancelled with it, and a block at work before those that it is a part of.
    """
    found: list[Row] = []
    for is_folded, below_done in (
        (_never, True),
        (_is_iteration, True),
        (_is_iteration, False),
    ):
        found = list(_rows(nodes, 0, is_folded, below_done))
        if len(found) <= most:
            return found, Counter()
    chosen = {*_most_urgent(found, most)}
    left = (row for place, row in enumerate(found) if place not in chosen)
    return (
        [found[place] for place in sorted(chosen)],
        Counter(node.status for row in left for node in row.nodes),
    )


def _rows(
    nodes: Iterable[Node], depth: int, is_folded: Callable[[Node], bool], below_done: bool
) -> Iterator[Row]:
    for folds, group in groupby(nodes, is_folded):
        if folds:
            yield from _folded(group, depth)
            continue
        for node in group:
            yield Row(depth, [node])
            if below_done or not _is_over(node):
                yield from _rows(node.children, depth + 1, is_folded, below_done)


def _folded(nodes: Iterable[Node], depth: int) -> Iterator[Row]:
    by_block: dict[str, list[Node]] = {}
    for node in nodes:
        by_block.setdefault(node.block_id, []).append(node)
    return (Row(depth, same) for same in by_block.values())


def _never(_: Node) -> bool:
    return False


def _is_iteration(node: Node) -> bool:
    return bool(node.iteration) and _is_over(node)


def _is_over(node: Node) -> bool:
    return node.status in _FINE and all(map(_is_over, node.children))


def _most_urgent(found: Sequence[Row], most: int) -> list[int]:
    """Where they stand. What failed has half of the rows, or more if the others leave some."""
    order = sorted(range(len(found)), key=lambda place: _rank(found[place]))
    failed = sum(row.status == "FAILED" for row in found)
    others = sum(is_urgent(row.status) for row in found) - failed
    first = min(failed, max(most - others, (most + 1) // 2))
    return order[:first] + order[failed : failed + most - first]


def _rank(row: Row) -> int:
    if row.status == "FAILED":
        return 0
    if row.status in _AT_WORK:
        return 2 if any(child.status in _AT_WORK for child in row.nodes[-1].children) else 1
    return 3 if is_urgent(row.status) else 4


def is_urgent(status: str) -> bool:
    """Whether a block is at work, or did not end well."""
    return status not in _FINE | {"", "PENDING"}
