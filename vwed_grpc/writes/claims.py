"""Claims that come at the same time and look for the same share a transaction.

Many executors wait for work, and one new run wakes them all: they look once, not one by one. Who
looks for something else has a transaction apart, so a slow filter is its asker's alone.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from math import inf

from vwed.v1.record_service_pb2 import ClaimTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.batching import Again, Batcher
from vwed_grpc.domain.errors import NotFound, VwedError
from vwed_grpc.domain.lifecycle import Command, next_status
from vwed_grpc.storage import idempotency, rows, task_records
from vwed_grpc.storage.listing import MAX_PAGE_BYTES
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.group_commit import Flushed, group_commit
from vwed_grpc.writes.runs import RunChange, write_all

CLAIM_LEASE = timedelta(seconds=60)
"""What a claim without a lease gets."""
FLUSH_RUNS = 100
"""Runs that are claimed in one transaction."""
FLUSH_CLAIMS = 1_000
"""Claims that share one: mostly there is nothing, or one run, for all of them."""
_REMEMBERED = 10
"""Claims that one with a request_id counts for: each is looked up."""
LOOK_AGAIN = 1.0
"""Seconds after which one of those who wait for the same looks: a wake-up may have been lost."""
_LANES = 1_000
"""Of so many kinds of claims it is known when one looked."""


@dataclass
class Claim:
    request: ClaimTaskRecordsRequest
    actor: str
    remaining: Deadline

    @property
    def count(self) -> int:
        return self.request.max_count or 1

    @cached_property
    def looks_for(self) -> bytes:
        """Equal for claims that any of the same runs would do for."""
        what = ClaimTaskRecordsRequest(
            filter=self.request.filter, include_interrupted=self.request.include_interrupted
        )
        return what.SerializeToString(deterministic=True)

    @property
    def without_wait(self) -> ClaimTaskRecordsRequest:
        """What is the same in a claim that is made again by who cannot wait any more."""
        what = ClaimTaskRecordsRequest()
        what.CopyFrom(self.request)
        what.ClearField("wait")
        return what


Taken = list[TaskRecord]


class Claims:
    """Takes claims, and answers each with its runs once they are committed."""

    def __init__(self, committer: Committer, pool: Pool, flushed: Flushed) -> None:
        self._looked: dict[tuple[str, bytes], float] = {}
        """When one of those who wait for the same last looked for all, in the loop's time."""
        self._lanes: Batcher[tuple[str, bytes], Claim, Taken] = Batcher(
            group_commit(committer, pool, self._take, flushed=flushed),
            most=FLUSH_CLAIMS,
            weigh=lambda claim: _REMEMBERED if claim.request.request_id else 1,
            ordering_key=lambda claim: claim.request.request_id.lower(),
        )

    async def claim(self, tenant: str, claim: Claim) -> Taken:
        """The runs that now are the claimer's, or those that this very request took before.

        Raises AlreadyExists for a request_id of another request, and the store's own errors.
        """
        return await self._lanes.ask((tenant, claim.looks_for), claim, claim.remaining())

    def is_look_due(self, tenant: str, claim: Claim) -> bool:
        """Whether who waits is to look without being woken, as a wake-up may have been lost.

        Of all who wait for the same, one is told so each time.
        """
        lane, now = (tenant, claim.looks_for), asyncio.get_running_loop().time()
        if self._looked.get(lane, -inf) > now - LOOK_AGAIN:
            return False
        if len(self._looked) >= _LANES:
            self._looked.clear()
        self._looked[lane] = now
        return True

    async def _take(
        self, tx: Transaction, effects: Effects, lane: tuple[str, bytes], claims: Sequence[Claim]
    ) -> list[Taken | Exception]:
        outcomes = await _take(tx, effects, lane, claims)
        if any(isinstance(outcome, list) and outcome for outcome in outcomes):
            self._looked.pop(lane, None)  # there may be more, for others
        return outcomes


async def _take(
    tx: Transaction, effects: Effects, lane: tuple[str, bytes], claims: Sequence[Claim]
) -> list[Taken | Exception]:
    """What each claim came to; one that repeats another of them is left for the next time."""
    tenant, _ = lane
    outcomes: dict[int, Taken | Exception] = {}
    fresh: dict[int, Claim] = {}
    request_ids: set[str] = set()
    for n, claim in enumerate(claims):
        request_id = claim.request.request_id.lower()
        if request_id:
            if request_id in request_ids:
                outcomes[n] = Again()
                continue
            request_ids.add(request_id)
            try:
                before = await idempotency.recall(tx, tenant, request_id, claim.without_wait)
            except VwedError as refusal:
                outcomes[n] = refusal
                continue
            if before:
                outcomes[n] = await _taken_before(tx, tenant, before)
                continue
        fresh[n] = claim
    if fresh:
        outcomes |= await _share_out(tx, effects, tenant, fresh)
    return [outcomes[n] for n in range(len(claims))]


async def _taken_before(tx: Transaction, tenant: str, ids: Iterable[str]) -> Taken:
    """What has become of the runs; of one that was deleted, nothing, and the others still count."""
    records = []
    for id_ in ids:
        try:
            records.append((await task_records.lock(tx, tenant, id_)).record)
        except NotFound:
            continue
    return records


async def _share_out(
    tx: Transaction, effects: Effects, tenant: str, claims: dict[int, Claim]
) -> dict[int, Taken | Exception]:
    """The most urgent runs to who came first, each claim as many as it asked for.

    And no more than an answer can hold: the rest waits for the next claim.
    """
    request = next(iter(claims.values())).request
    wanted = min(sum(claim.count for claim in claims.values()), FLUSH_RUNS)
    if request.include_interrupted:
        for run in await task_records.lock_lost(tx, tenant, request.filter, wanted):
            await RunChange(tx, effects, tenant, run).expire()
    found = deque(
        await task_records.claim(
            tx, tenant, request.filter, wanted, interrupted=request.include_interrupted
        )
    )
    there_may_be_more = len(found) == wanted
    taken: dict[int, Taken | Exception] = {}
    changes = []
    for n, claim in claims.items():
        lease = rows.span(claim.request.lease) if claim.request.HasField("lease") else CLAIM_LEASE
        mine: Taken = []
        room = MAX_PAGE_BYTES
        while found and len(mine) < claim.count:
            room -= found[0].record.ByteSize()
            if room < 0 and mine:
                break
            run = found.popleft()
            change = RunChange(tx, effects, tenant, run)
            change.take(claim.request.executor_id, lease)
            status = next_status(Command.START, run.record.status)
            changes.append(await change.prepare(claim.actor, claim.request.reason, status))
            mine.append(run.record)
        taken[n] = mine if mine or not there_may_be_more else Again()
        if claim.request.request_id and mine:
            ids = [record.id for record in mine]
            await idempotency.remember(tx, tenant, claim.request.request_id, ids)
    await write_all(changes)
    return taken
