"""The event table as it is after all: what every watcher's log must come to."""

from dataclasses import dataclass

import sqlalchemy as sa
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.events import Kind
from vwed_grpc.storage.pool import Pool

COMMITTED = "pg_xact_commit_timestamp((xact % 4294967296)::text::xid)"
"""When it was committed; only a server with track_commit_timestamp knows."""
WRITTEN = "event_time"


@dataclass(frozen=True, slots=True)
class Stored:
    """One event. Contents are compared by digest, for a long torture has millions of them."""

    seq: int
    group_seq: int
    kind: Kind
    committed: float
    """Seconds since 1970."""
    basic: int
    """Digest of the event in VIEW_BASIC; `full`: in VIEW_FULL."""
    full: int
    size: int
    """Bytes in VIEW_FULL."""
    block: tuple[str, str, int, int, str] | None
    """block_id, iteration, attempt, status, message."""
    state: int
    """Digest of the block's state."""
    status: int
    """Of the run's own event, with its `etag`."""
    etag: str
    signal: str

    def digest(self, *, full: bool) -> int:
        return self.full if full else self.basic


History = dict[str, list[Stored]]
"""Run -> its events, by seq."""


def digest(event: TaskRecordEvent | BlockRecord) -> int:
    return hash(event.SerializeToString(deterministic=True))


def stored(
    group_seq: int, kind: int, event: bytes, payload: bytes | None, committed: float
) -> Stored:
    basic = TaskRecordEvent.FromString(event)
    block = basic.block_record if basic.HasField("block_record") else None
    whole = event + (payload or b"")
    return Stored(
        seq=basic.seq,
        group_seq=group_seq,
        kind=Kind(kind),
        committed=committed,
        basic=digest(basic),
        full=digest(TaskRecordEvent.FromString(whole)),
        size=len(whole),
        block=block
        and (block.block_id, block.iteration, block.attempt, block.status, block.message),
        state=digest(block) if block else 0,
        status=basic.task_record.status,
        etag=basic.task_record.etag,
        signal=basic.signal.name,
    )


async def read(database_url: str, tenant: str, when: str = COMMITTED) -> History:
    """All that the tenant's runs have gone through."""
    statement = sa.text(f"""
        SELECT task_record_id AS run, group_seq, kind, event, payload,
               extract(epoch FROM {when})::double precision AS committed
          FROM task_record_events WHERE tenant = :tenant AND task_record_id > :after
         ORDER BY task_record_id, seq
    """)
    pool = Pool(Connector(database_url), connections=2, statement_timeout=60)
    history: History = {}
    try:
        for row in await pool.select(statement, {"tenant": tenant, "after": ""}):
            event = stored(row.group_seq, row.kind, row.event, row.payload, row.committed)
            history.setdefault(row.run, []).append(event)
    finally:
        await pool.close()
    return history
