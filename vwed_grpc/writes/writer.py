"""Group commit of reports.

Each tenant has a lane, and lanes take turns, so a busy tenant does not keep others waiting. A run
is in one transaction at a time, so its reports keep their order; one that somebody else is changing
does not keep the others of its tenant waiting.
"""

import asyncio
from collections.abc import Sequence

from vwed_grpc.batching import Batcher, in_halves
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.flush import flush
from vwed_grpc.writes.group_commit import Flushed, group_commit
from vwed_grpc.writes.reports import Answer, Outcome, Report

FLUSH_BLOCKS = 500
"""A flush takes about this many: more would hold the event loop and the runs' locks too long."""
QUEUE_BLOCKS = 20_000
"""A lane holds at most these; further callers wait for room under their deadline."""
LANE_FLUSHES = 2
"""While PostgreSQL works on one flush of a lane, the next is made ready if it is a whole one."""
FLUSHES = 4
"""All lanes together have at most these; they take turns."""


class Writer:
    """Takes reports and answers each once its change is committed."""

    def __init__(self, committer: Committer, pool: Pool, flushed: Flushed) -> None:
        self.lanes: Batcher[str, Report, Answer] = Batcher(
            in_halves(group_commit(committer, pool, _write, flushed=flushed)),
            most=FLUSH_BLOCKS,
            weigh=lambda report: len(report.blocks),
            ordering_key=lambda report: report.run,
            in_lane=LANE_FLUSHES,
            at_once=FLUSHES,
            limit=QUEUE_BLOCKS,
        )

    async def report(self, tenant: str, report: Report, remaining: Deadline) -> Answer:
        """What is stored after the report.

        Raises VwedError as the contract says, ResourceExhausted if the queue stays full until the
        caller's deadline, and the store's own errors if it cannot be reached.
        """
        return await self.lanes.ask(tenant, report, remaining())

    async def submit(
        self, tenant: str, report: Report, remaining: Deadline
    ) -> asyncio.Future[Answer]:
        """Queues a report: those of one caller are applied in the order of these calls."""
        answer = await self.lanes.submit(tenant, report, remaining())
        # A stream whose caller left asks for no answer; a refusal is not news then.
        answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        return answer


async def _write(
    tx: Transaction, effects: Effects, tenant: str, reports: Sequence[Report]
) -> list[Outcome]:
    outcomes, changed = await flush(tx, tenant, reports)
    for state in changed:
        effects.run_changed(tenant, state.id, state.news, state.robot_id)
    return outcomes
