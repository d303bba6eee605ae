"""What a tenant's runs are, for a reader of its log: each change comes with before and after."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from vwed_grpc.storage import feed
from vwed_grpc.storage.events import Kind
from vwed_grpc.storage.feed import Entry
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.chunk import Change, State

MOST_KNOWN = 4096
"""Runs of which a reader knows what they are; it asks about others that change."""


class KnownRuns:
    """The runs that changed last, as their last event that was told left them."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[int, State | None]] = OrderedDict()

    def seq(self, run: str) -> int | None:
        """Of the run's last event that was told; None: the run is not known."""
        known = self._runs.get(run)
        return None if known is None else known[0]

    async def learn(self, pool: ReadingPool, tenant: str, firsts: Mapping[str, int]) -> None:
        """What those of the runs are that are not known: run -> the first event to be told."""
        new = {run: first for run, first in firsts.items() if run not in self._runs}
        older = {run: first for run, first in new.items() if first > 1}
        found = await feed.states_before(pool, tenant, older) if older else {}
        for run, first in new.items():
            self._runs[run] = first - 1, State(run, found.get(run)) if first > 1 else None

    def changes(self, run: str, entries: Sequence[Entry]) -> Iterator[Change]:
        """The run's next events, each with the run as it was before and after."""
        _, state = self._runs.pop(run, (0, None))
        for entry in entries:
            after = _after(state, entry)
            yield Change(run, entry.event, state, after)
            state = after
        if state is not None:  # else the run is gone
            self._runs[run] = entries[-1].event.seq, state

    def trim(self) -> None:
        while len(self._runs) > MOST_KNOWN:
            self._runs.popitem(last=False)


def _after(state: State | None, entry: Entry) -> State | None:
    match entry.event.kind:
        case Kind.RUN | Kind.FINISHED:
            return State(entry.run, entry.event.event)
        case Kind.DELETED:
            return None
        case _ if state is not None and entry.robot_id is not None:
            return state.with_robot(entry.robot_id)
        case _:
            return state
