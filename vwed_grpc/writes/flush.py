"""One flush of the writer: the reports of many callers, in one transaction of their tenant.

Locks the runs, looks up the blocks, applies the reports in memory, writes set-based. One bad report
fails alone: it is applied to copies, which are kept only if all of it went well.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecordStatus

from vwed_grpc.batching import Again
from vwed_grpc.domain import blocks as rules
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import BLOCK_COUNTS, Block
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from vwed_grpc.domain.ids import new_id
from vwed_grpc.loop.turns import Turns, in_turns
from vwed_grpc.storage import block_records, events, reported_runs, rows, task_records
from vwed_grpc.storage.block_records import Key
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.listing import MAX_ANSWER_BYTES
from vwed_grpc.storage.reported_runs import ReportedRun
from vwed_grpc.storage.statement import Together
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.events import block_event, progress_of
from vwed_grpc.writes.reports import Answer, Outcome, Report

MAX_BLOCKS = 200_000
"""Rows that a run may have."""
WRITTEN_AT_ONCE = 300
"""Blocks, or events, in one statement: the driver encodes it in one go, 30 µs for each of them."""
_BESIDE_A_BLOCK = 16
"""Bytes of an answer, at the most: where a block begins, how long it is, and its seq."""
MOST_ABOVE = 10_000
"""Blocks that are looked at, to see that none comes below itself: in a run, and for a report."""


@dataclass(slots=True)
class Blocks:
    """The blocks that a flush touches; of each (run, block_id, iteration) the latest attempt."""

    by_key: dict[Key, Block]
    latest: dict[tuple[str, str, str], int]
    ids: set[tuple[str, str]]
    """(run, id) pairs that exist, of those that reports name as parents."""
    parents: dict[tuple[str, str], str] = field(default_factory=dict)
    """(run, id) to the parent's id: of blocks that the flush has put somewhere and, once looked
    above, of all that stands above these places."""
    looked_above: bool = False
    deep: set[str] = field(default_factory=set)
    """Runs of which `parents` does not have all of it: there is too much."""


async def flush(
    tx: Transaction, tenant: str, reports: Sequence[Report]
) -> tuple[list[Outcome], list[ReportedRun]]:
    """What each report came to, and the runs that were changed, with their news."""
    states, busy = await reported_runs.lock(tx, tenant, {r.run for r in reports})
    at_hand = [r for r in reports if r.run in states]
    known = await _look_up(tx, tenant, at_hand)
    now = rows.timestamp(tx.now)
    touched: dict[Key, Block] = {}
    outcomes: list[Outcome] = []
    for report in reports:
        state = states.get(report.run)
        if state is None:
            gone = report.run not in busy
            outcomes.append(task_records.missing(report.run) if gone else Again())
            continue
        outcome = await _applied(report, state, known, now, touched)
        if isinstance(outcome, _MustLookAbove):
            await _look_above(tx, tenant, at_hand, known)
            outcome = await _applied(report, state, known, now, touched)
        outcomes.append(outcome)
    changed = [s for s in states.values() if s.news or s.renewed]
    if changed:
        await _write(tx, tenant, touched, changed)
    return outcomes, changed


async def _write(
    tx: Transaction, tenant: str, touched: Mapping[Key, Block], changed: Sequence[ReportedRun]
) -> None:
    """One statement, unless there are so many blocks or events that the driver needs several."""
    put = [(key[0], block) for key, block in touched.items()]
    *more_blocks, blocks = [*chunks(put, WRITTEN_AT_ONCE)] or [[]]
    told = [(state.id, [event]) for state in changed for event in state.news]
    *more_news, news = [*chunks(told, WRITTEN_AT_ONCE)] or [[]]
    for some in more_blocks:
        await tx.fetch(block_records.UPSERT, block_records.upserted(tenant, tx.now, some))
    for one in more_news:
        await events.append(tx, tenant, one)
    await tx.together(
        _WRITE,
        block_records.upserted(tenant, tx.now, blocks),
        events.appended(tenant, tx.now, news),
        reported_runs.saved(tenant, tx.now, changed),
    )


async def _applied(
    report: Report, state: ReportedRun, known: Blocks, now: Timestamp, touched: dict[Key, Block]
) -> Outcome:
    try:
        return await _Application(report, state, known, now).apply(touched)
    except Exception as refusal:  # noqa: BLE001 - whatever it is, it is this report's alone
        return refusal


class _MustLookAbove(Exception):
    """A block that is stored goes elsewhere, and nobody has looked what stands there."""


class _Application:
    """One report, applied to copies of what it touches."""

    def __init__(self, report: Report, state: ReportedRun, known: Blocks, now: Timestamp) -> None:
        self.report = report
        self.state = state
        self.known = known
        self.now = now
        self.own: dict[Key, Block] = {}
        self.latest: dict[tuple[str, str, str], int] = {}
        self.parents: dict[tuple[str, str], str] = {}
        self.looked_at = 0
        self.counts = list(state.counts)
        self.seq = state.seq
        self.recorded = state.recorded
        self.changed: set[Key] = set()
        self.changes: list[tuple[BlockRecord, bytes | None, bytes | None]] = []

    async def apply(self, touched: dict[Key, Block]) -> Answer:
        """Raises VwedError with nothing changed; else the run and its blocks are changed."""
        state, report = self.state, self.report
        holder = lifecycle.check_fence(state, report)
        if state.status not in lifecycle.REPORTABLE:
            name = TaskRecordStatus.Name(state.status)
            raise FailedPrecondition(
                "RUN_NOT_REPORTABLE",
                f"reports are not taken while the run is {name}",
                metadata={"status": name},
            )
        turns = Turns()
        placed = []
        for n, block in enumerate(report.blocks):
            placed.append(self._apply_block(n, block))
            await turns.next()
        news = await self._events()
        told = [] if report.streamed else [block for block, _ in placed]
        blocks = await in_turns(self._answer, told)
        _require_an_answer_that_holds(blocks)
        # From here on nothing fails.
        state.news += news
        state.counts, state.seq, state.recorded = self.counts, self.seq, self.recorded
        state.renewed |= holder and state.renewable
        self.known.by_key.update(self.own)
        self.known.latest.update(self.latest)
        self.known.parents.update(self.parents)
        touched.update((key, self.own[key]) for key in self.changed)
        return Answer(blocks, [seq for _, seq in placed], state.status)

    def _apply_block(self, index: int, reported: BlockRecord) -> tuple[Block, int]:
        """The block after the report, and the seq of the change (or of its last one)."""
        name = (self.state.id, reported.block_id, reported.iteration)
        key = (*name, reported.attempt or 1)
        block = self.own.get(key)
        if block is None:
            stored = self.known.by_key.get(key)
            block = stored.copy() if stored else self._new(key)
            self.own[key] = block
        record = block.record
        before = record.status
        payload = block.input_digest, block.output_digest
        parent = self._parent(index, reported, key)
        if parent and parent != record.parent_block_record_id:
            if before:
                self._check_above(index, reported, record.id, parent)
            self.parents[key[0], record.id] = parent
        try:
            if not rules.apply(block, reported, parent, self.now):
                return block, record.seq
        except FailedPrecondition:
            stored = self.known.by_key.get(key)
            if stored is None or not rules.is_told_again(stored, self.report.of(reported), parent):
                raise
            return block, record.seq
        self._count(key, before, record.status)
        self.seq += 1
        record.seq = self.seq
        record.update_time.CopyFrom(self.now)
        if not before:
            record.first_seq = self.seq
            record.create_time.CopyFrom(self.now)
        self.changed.add(key)
        snapshot = BlockRecord()
        snapshot.CopyFrom(record)
        self.changes.append(
            (
                snapshot,
                block.input_data if block.input_digest != payload[0] else None,
                block.output_data if block.output_digest != payload[1] else None,
            )
        )
        return block, self.seq

    def _new(self, key: Key) -> Block:
        run, block_id, iteration, attempt = key
        self.recorded += 1
        if self.recorded > MAX_BLOCKS:
            raise ResourceExhausted(
                "TOO_MANY_BLOCKS", f"a run has at most {MAX_BLOCKS} block records"
            )
        return Block(
            BlockRecord(
                id=new_id(),
                task_record_id=run,
                block_id=block_id,
                iteration=iteration,
                attempt=attempt,
            )
        )

    def _parent(self, index: int, reported: BlockRecord, key: Key) -> str:
        """The id of the parent that the report names, "" if none."""
        named = reported.parent_block_record_id
        if not reported.HasField("parent"):
            if named and (key[0], named) not in self.known.ids:
                raise block_records.missing(named)
            return named
        of_parent = _key_of_parent(key[0], reported)
        if of_parent == key:
            raise InvalidArgument.of(f"{self.report.path(index)}.parent", "is the block itself")
        parent = self.own.get(of_parent) or self.known.by_key.get(of_parent)
        if parent is None or not parent.record.seq:
            raise block_records.missing(reported.parent.block_id)
        if named and named != parent.record.id:
            raise InvalidArgument.of(
                f"{self.report.path(index)}.parent_block_record_id", "is not what `parent` names"
            )
        return parent.record.id

    def _check_above(self, index: int, reported: BlockRecord, id_: str, parent: str) -> None:
        """A block that is there, and may have others below it, must not come below these.

        A new one has nothing below it; so the usual report needs no look at what stands above.
        """
        if not self.known.looked_above:
            raise _MustLookAbove
        run = self.state.id

        def parent_of(block: str) -> str:
            place = run, block
            above = self.parents.get(place) or self.known.parents.get(place)
            self.looked_at += 1
            if self.looked_at > MOST_ABOVE or (above is None and run in self.known.deep):
                raise ResourceExhausted(
                    "TOO_MANY_PARENTS",
                    f"at most {MOST_ABOVE:,} blocks are looked at above those that come elsewhere",
                )
            return above or ""

        if id_ in rules.upwards(parent, parent_of):
            field = "parent" if reported.HasField("parent") else "parent_block_record_id"
            raise InvalidArgument.of(
                f"{self.report.path(index)}.{field}", "is the block itself, or stands below it"
            )

    def _count(self, key: Key, before: int, after: int) -> None:
        """Counts take the latest attempt of each (block_id, iteration)."""
        name, attempt = key[:3], key[3]
        latest = self.latest.get(name) or self.known.latest.get(name, 0)
        if attempt < latest:
            return
        if attempt > latest > 0:
            earlier = self.own.get((*name, latest)) or self.known.by_key[(*name, latest)]
            before = earlier.record.status
        if before:
            self.counts[before - 1] -= 1
        self.counts[after - 1] += 1
        self.latest[name] = attempt

    async def _events(self) -> list[Event]:
        """The report's events; the last of them carries the run's counts and progress."""

        def event_of(change: tuple[BlockRecord, bytes | None, bytes | None]) -> Event:
            record, given, made = change
            return block_event(self.state.id, record, self.seq, self.report.actor, "", given, made)

        built = await in_turns(event_of, self.changes)
        if built:
            counts = BlockCounts(**dict(zip(BLOCK_COUNTS, self.counts, strict=True)))
            rows.put_total(counts, self.state.config_blocks)
            tail = progress_of(counts, rows.progress(counts, self.state.status))
            last = built[-1]
            built[-1] = Event(last.seq, last.group_seq, last.kind, last.event + tail, last.payload)
        return built

    def _answer(self, block: Block) -> BlockRecord:
        if not self.report.single:
            return block.record
        answer = BlockRecord()
        answer.CopyFrom(block.record)
        for name, given, stored in (
            ("input_data", block.input_data, block.stored_input),
            ("output_data", block.output_data, block.stored_output),
        ):
            # What was given may be the empty object, which has no bytes.
            rows.put_json(getattr(answer, name), stored if given is None else given)
        return answer


def _require_an_answer_that_holds(blocks: Sequence[BlockRecord]) -> None:
    """Else what was written would be answered as if it were not."""
    if sum(block.ByteSize() + _BESIDE_A_BLOCK for block in blocks) > MAX_ANSWER_BYTES:
        raise ResourceExhausted(
            "RESPONSE_TOO_LARGE", "the answer would be above 4 MiB: report fewer blocks at once"
        )


async def _look_up(tx: Transaction, tenant: str, reports: Sequence[Report]) -> Blocks:
    """Every attempt of each block that the reports name, and of their parents."""
    named: dict[tuple[str, str, str], bool] = {}
    parents: set[tuple[str, str]] = set()
    for report in reports:
        for block in report.blocks:
            name = (report.run, block.block_id, block.iteration)
            named[name] = named.get(name, False) or report.single
            if block.HasField("parent"):
                named.setdefault((report.run, block.parent.block_id, block.parent.iteration), False)
            elif block.parent_block_record_id:
                parents.add((report.run, block.parent_block_record_id))
    by_key = await block_records.look_up(tx, tenant, named) if named else {}
    latest: dict[tuple[str, str, str], int] = {}
    for key in by_key:
        latest[key[:3]] = max(key[3], latest.get(key[:3], 0))
    ids = await block_records.look_up_ids(tx, tenant, parents) if parents else set()
    return Blocks(by_key, latest, ids)


def _key_of_parent(run: str, block: BlockRecord) -> Key:
    parent = block.parent
    return run, parent.block_id, parent.iteration, parent.attempt or 1


def _stored_parent(run: str, block: BlockRecord, by_key: Mapping[Key, Block]) -> str | None:
    """The id of the parent that a report names; None: it is not stored yet."""
    if not block.HasField("parent"):
        return block.parent_block_record_id
    parent = by_key.get(_key_of_parent(run, block))
    return parent.record.id if parent else None


def _moves(run: str, block: BlockRecord, by_key: Mapping[Key, Block]) -> bool:
    """Whether the report gives a block that is stored another parent."""
    if not (block.HasField("parent") or block.parent_block_record_id):
        return False
    stored = by_key.get((run, block.block_id, block.iteration, block.attempt or 1))
    if stored is None:
        return False
    return _stored_parent(run, block, by_key) != stored.record.parent_block_record_id


async def _look_above(
    tx: Transaction, tenant: str, reports: Sequence[Report], known: Blocks
) -> None:
    """Learns what stands above the parents that reports name, in all runs where stored blocks move.

    In the others, what is stored stays where it is: it cannot come below what the reports bring.
    """
    known.looked_above = True
    children = [(r.run, b) for r in reports for b in r.blocks]
    moving = {run for run, block in children if _moves(run, block, known.by_key)}
    starts = {
        (run, parent)
        for run, block in children
        if run in moving and (parent := _stored_parent(run, block, known.by_key))
    }
    if starts:
        above = await block_records.look_above(tx, tenant, starts, MOST_ABOVE)
        seen = Counter(run for run, _ in above)
        known.deep = {run for run, blocks in seen.items() if blocks >= MOST_ABOVE}
        known.parents = above | known.parents


_WRITE = Together(block_records.UPSERT, events.APPEND, reported_runs.SAVE)
