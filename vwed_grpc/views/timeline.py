"""When the blocks of a run were at work, as bars on one axis."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from vwed_grpc.views.run_view import Node, RunView
from vwed_grpc.views.words import block_status, moment


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt at a block."""

    begin: float
    end: float
    """Seconds since the run's first moment; of what is at work, until now."""
    status: str
    attempt: int
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """A block with its attempts; no bars: it has yet to begin."""

    depth: int
    title: str
    status: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Timeline:
    begin: datetime
    """Of the axis: the run's start, or the first report if that was before."""
    seconds: float
    """Its length; more than 0."""
    lines: Sequence[Line]


def timeline(view: RunView, now: datetime) -> Timeline:
    """`now`: until then last what has not ended."""
    nodes = view.nodes()
    starts = [
        moment(view.run.start_time),
        *(time for node in _all(nodes) for time in _starts(node)),
    ]
    begin = min((start for start in starts if start is not None), default=now)
    lines = [_line(depth, node, begin, now) for depth, node in _in_order(nodes, 0)]
    ends = [bar.end for line in lines for bar in line.bars]
    run_end = moment(view.run.end_time)
    if run_end is not None:
        ends.append((run_end - begin).total_seconds())
    return Timeline(begin, max(ends, default=0.0) or 1.0, lines)


def _line(depth: int, node: Node, begin: datetime, now: datetime) -> Line:
    bars = []
    for block in node.attempts:
        start = moment(block.start_time)
        if start is not None:
            end = moment(block.end_time) or max(now, start)
            bars.append(
                Bar(
                    (start - begin).total_seconds(),
                    max((end - begin).total_seconds(), (start - begin).total_seconds()),
                    block_status(block),
                    block.attempt,
                    block.error_message or block.message,
                )
            )
    return Line(depth, node.title, node.status, bars)


def _starts(node: Node) -> Iterator[datetime | None]:
    return (moment(block.start_time) for block in node.attempts)


def _in_order(nodes: Iterable[Node], depth: int) -> Iterator[tuple[int, Node]]:
    for node in nodes:
        yield depth, node
        yield from _in_order(node.children, depth + 1)


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    return (node for _, node in _in_order(nodes, 0))
