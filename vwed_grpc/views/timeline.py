"""When the blocks of a run were at work, as bars on one axis."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vwed.v1.block_record_pb2 import BlockRecord

from vwed_grpc.views.folding import Row, rows
from vwed_grpc.views.run_view import RunView
from vwed_grpc.views.words import block_status, duration, moment

_NOT_SAID = frozenset({"", "PENDING", "SUCCEEDED"})


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt at a block."""

    begin: float
    end: float
    """Seconds since the timeline's begin; of what is at work, until now."""
    title: str
    status: str
    attempt: int
    message: str

    @property
    def told(self) -> str:
        """All of it in a line, for who points at it."""
        took = duration(self.end - self.begin)
        return f"{self.title}: {self.status} {took} {self.message}".strip()


@dataclass(frozen=True, slots=True)
class Line:
    """A block with its attempts, or several in one; no bars: it has yet to begin."""

    depth: int
    title: str
    status: str
    bars: Sequence[Bar]

    @property
    def label(self) -> str:
        """Its title, and its status in words unless it went well or has yet to begin."""
        return self.title if self.status in _NOT_SAID else f"{self.title}  {self.status}"


@dataclass(frozen=True, slots=True)
class Timeline:
    begin: datetime
    """Of the axis: the run's start, or the first report if that was before."""
    seconds: float
    """Its length; more than 0."""
    lines: Sequence[Line]
    left_out: Counter[str]
    """Status -> blocks that have no line of their own or in another."""


def timeline(view: RunView, now: datetime, *, most: int) -> Timeline:
    """At most so many lines, folded as `rows` does; `now`: so long last blocks that are at work."""
    shown, left = rows(view.nodes(), most=most)
    blocks = (block for row in shown for node in row.nodes for block in node.attempts)
    starts = [moment(view.run.start_time), *map(_start, blocks)]
    begin = min((start for start in starts if start is not None), default=now)
    lines = [Line(row.depth, row.title, row.status, _bars(row, begin, now)) for row in shown]
    ends = [bar.end for line in lines for bar in line.bars]
    if moment(view.run.start_time) is not None:
        ends.append(((moment(view.run.end_time) or now) - begin).total_seconds())
    return Timeline(begin, max(ends, default=0.0) or 1.0, lines, left)


def _bars(row: Row, begin: datetime, now: datetime) -> list[Bar]:
    bars = []
    for node in row.nodes:
        for block in node.attempts:
            start = _start(block)
            if start is None:
                continue
            end = max(moment(block.end_time) or now, start)  # clocks of robots are set at times
            bars.append(
                Bar(
                    (start - begin).total_seconds(),
                    (end - begin).total_seconds(),
                    node.title,
                    block_status(block),
                    block.attempt,
                    block.error_message or block.message,
                )
            )
    return bars


def _start(block: BlockRecord) -> datetime | None:
    """None: it has yet to begin. Of what was reported when it was over, there is no more to say."""
    if block_status(block) == "PENDING":
        return None
    return moment(block.start_time) or moment(block.end_time) or moment(block.create_time)
