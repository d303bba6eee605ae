"""One flush of the writer: the reports of many callers, in one transaction of their tenant.

Locks the runs, looks up the blocks, applies the reports in memory, writes set-based. One bad report
fails alone: it is applied to copies, which are kept only if all of it went well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecordStatus

from vwed_grpc.domain import blocks as rules
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import Block
from vwed_grpc.domain.errors import FailedPrecondition, ResourceExhausted
from vwed_grpc.domain.ids import new_id
from vwed_grpc.progress.events import block_event, progress_of
from vwed_grpc.storage import block_records, events, rows, task_records
from vwed_grpc.storage.block_records import Key
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.statement import Statement, Together
from vwed_grpc.storage.tables import BLOCK_COUNTS

MAX_BLOCKS = 200_000
"""Rows that a run may have."""


@dataclass(slots=True)
class Report:
    """What one call reports of one run."""

    run: str
    blocks: Sequence[BlockRecord]
    executor_id: str
    lease_epoch: int
    actor: str
    full: bool = False
    """Answer the blocks with their payload."""


@dataclass(slots=True)
class Answer:
    blocks: list[BlockRecord]
    seqs: list[int]
    status: TaskRecordStatus.ValueType


class Busy(Exception):
    """Somebody else is changing the run."""


Outcome: TypeAlias = Answer | Exception
"""An Exception is the refusal of this one report; `Busy`: it comes again."""


@dataclass(slots=True)
class RunState:
    """A locked run, as far as reports change it."""

    id: str
    status: TaskRecordStatus.ValueType
    executor_id: str
    lease_epoch: int
    renewable: bool
    """It has a lease, which has not run out."""
    seq: int
    config_blocks: int
    recorded: int
    counts: list[int]
    """By block status, from 1 on."""
    renewed: bool = False
    news: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class Blocks:
    """The blocks that a flush touches; of each (run, block_id, iteration) the latest attempt."""

    by_key: dict[Key, Block]
    latest: dict[tuple[str, str, str], int]
    ids: set[tuple[str, str]]
    """(run, id) pairs that exist, of those that reports name as parents."""


async def flush(
    tx: Transaction, tenant: str, reports: Sequence[Report]
) -> tuple[list[Outcome], list[RunState]]:
    """What each report came to, and the runs that were changed, with their news."""
    states, busy = await _lock(tx, tenant, {r.run for r in reports})
    at_hand = [r for r in reports if r.run in states]
    known = await _look_up(tx, tenant, at_hand)
    now = rows.timestamp(tx.now)
    touched: dict[Key, Block] = {}
    outcomes: list[Outcome] = []
    for report in reports:
        state = states.get(report.run)
        if state is None:
            gone = report.run not in busy
            outcomes.append(task_records.missing(report.run) if gone else Busy())
            continue
        try:
            outcomes.append(_Application(report, state, known, now).apply(touched))
        except Exception as refusal:  # noqa: BLE001 - whatever it is, it is this report's alone
            outcomes.append(refusal)
    changed = [s for s in states.values() if s.news or s.renewed]
    if changed:
        blocks = [(key[0], block) for key, block in touched.items()]
        news = [(state.id, state.news) for state in changed]
        await tx.together(
            _WRITE,
            block_records.upserted(tenant, tx.now, blocks),
            events.appended(tenant, tx.now, news),
            _saved(tenant, tx.now, changed),
        )
    return outcomes, changed


class _Application:
    """One report, applied to copies of what it touches."""

    def __init__(self, report: Report, state: RunState, known: Blocks, now: Timestamp) -> None:
        self.report = report
        self.state = state
        self.known = known
        self.now = now
        self.own: dict[Key, Block] = {}
        self.latest: dict[tuple[str, str, str], int] = {}
        self.counts = list(state.counts)
        self.seq = state.seq
        self.recorded = state.recorded
        self.changed: set[Key] = set()
        self.changes: list[tuple[BlockRecord, bytes | None, bytes | None]] = []

    def apply(self, touched: dict[Key, Block]) -> Answer:
        """Raises VwedError with nothing changed; else the run and its blocks are changed."""
        state, report = self.state, self.report
        if state.status not in lifecycle.REPORTABLE:
            name = TaskRecordStatus.Name(state.status)
            raise FailedPrecondition(
                "RUN_NOT_REPORTABLE",
                f"reports are not taken while the run is {name}",
                metadata={"status": name},
            )
        holder = lifecycle.fence(
            state.executor_id, state.lease_epoch, report.executor_id, report.lease_epoch
        )
        placed = [self._apply_block(block) for block in report.blocks]
        # From here on nothing fails.
        state.news += self._events()
        state.counts, state.seq, state.recorded = self.counts, self.seq, self.recorded
        state.renewed |= holder and state.renewable
        self.known.by_key.update(self.own)
        self.known.latest.update(self.latest)
        touched.update((key, self.own[key]) for key in self.changed)
        blocks = [self._answer(block) for block, _ in placed]
        return Answer(blocks, [seq for _, seq in placed], state.status)

    def _apply_block(self, reported: BlockRecord) -> tuple[Block, int]:
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
        if not rules.apply(block, reported, self._parent(reported), self.now):
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

    def _parent(self, reported: BlockRecord) -> str:
        """The id of the parent that the report names, "" if none."""
        run = self.state.id
        if reported.HasField("parent"):
            key = (
                run,
                reported.parent.block_id,
                reported.parent.iteration,
                reported.parent.attempt or 1,
            )
            parent = self.own.get(key) or self.known.by_key.get(key)
            if parent is None or not parent.record.seq:
                raise block_records.missing(reported.parent.block_id)
            return parent.record.id
        named = reported.parent_block_record_id
        if named and (run, named) not in self.known.ids:
            raise block_records.missing(named)
        return named

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

    def _events(self) -> Iterable[Event]:
        """The report's events; the last of them carries the run's counts and progress."""
        built = [
            block_event(self.state.id, record, self.seq, self.report.actor, "", given, made)
            for record, given, made in self.changes
        ]
        if built:
            counts = BlockCounts(**dict(zip(BLOCK_COUNTS, self.counts, strict=True)))
            rows.put_total(counts, self.state.config_blocks)
            tail = progress_of(counts, rows.progress(counts, self.state.status))
            last = built[-1]
            built[-1] = Event(last.seq, last.group_seq, last.kind, last.event + tail, last.payload)
        return built

    def _answer(self, block: Block) -> BlockRecord:
        if not self.report.full:
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


_LOCK = Statement(f"""
    SELECT id, status, executor_id, lease_epoch, lease_expire_time, seq, config_blocks,
           blocks_recorded, update_time, {", ".join(f"blocks_{name}" for name in BLOCK_COUNTS)}
      FROM task_records
     WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[]))
     ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")  # noqa: S608 - column names of our own
_EXISTING = Statement(
    "SELECT id FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[]))"
)


async def _lock(
    tx: Transaction, tenant: str, ids: set[str]
) -> tuple[dict[str, RunState], set[str]]:
    """The runs that could be locked, and those that exist but are busy."""
    found = await tx.fetch(_LOCK, {"tenant": tenant, "ids": sorted(ids)})
    states = {}
    for row in found:
        # Events of one run never go back in time, whichever transaction began first.
        tx.now = max(tx.now, row.update_time)
        states[row.id] = RunState(
            row.id, row.status, row.executor_id, row.lease_epoch,
            row.lease_expire_time is not None and row.lease_expire_time > tx.now,
            row.seq, row.config_blocks, row.blocks_recorded, list(row[-len(BLOCK_COUNTS):]),
        )  # fmt: skip
    rest = ids - states.keys()
    if not rest:
        return states, set()
    existing = await tx.fetch(_EXISTING, {"tenant": tenant, "ids": sorted(rest)})
    return states, {row.id for row in existing}


async def _look_up(tx: Transaction, tenant: str, reports: Sequence[Report]) -> Blocks:
    """Every attempt of each block that the reports name, and of their parents."""
    named: dict[tuple[str, str, str], bool] = {}
    parents: set[tuple[str, str]] = set()
    for report in reports:
        for block in report.blocks:
            name = (report.run, block.block_id, block.iteration)
            named[name] = named.get(name, False) or report.full
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


_SAVED: dict[str, str] = {
    "seq": "bigint",
    "blocks_recorded": "int",
    **{f"blocks_{name}": "int" for name in BLOCK_COUNTS},
}
_SAVE = Statement(f"""
    UPDATE task_records r
       SET {", ".join(f"{name} = u.{name}" for name in _SAVED)}, update_time = :now,
           lease_expire_time = CASE WHEN u.renewed THEN CAST(:now AS timestamptz) + r.lease
                                    ELSE r.lease_expire_time END
      FROM unnest(CAST(:ids AS text[]), CAST(:renewed AS boolean[]),
                  {", ".join(f"CAST(:{n} AS {t}[])" for n, t in _SAVED.items())})
           AS u (id, renewed, {", ".join(_SAVED)})
     WHERE r.tenant = :tenant AND r.id = ANY(CAST(:ids AS text[])) AND r.id = u.id
""")  # noqa: S608 - column names from the mapping above


_WRITE = Together(block_records.UPSERT, events.APPEND, _SAVE)


def _saved(tenant: str, now: datetime, changed: Sequence[RunState]) -> dict[str, Any]:
    """The parameters of _SAVE."""
    values: dict[str, Any] = {
        "tenant": tenant,
        "now": now,
        "ids": [s.id for s in changed],
        "renewed": [s.renewed for s in changed],
        "seq": [s.seq for s in changed],
        "blocks_recorded": [s.recorded for s in changed],
    }
    for n, name in enumerate(BLOCK_COUNTS):
        values[f"blocks_{name}"] = [s.counts[n] for s in changed]
    return values
