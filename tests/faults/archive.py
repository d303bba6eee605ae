"""The event table as it would be without retention: it is read before retention takes the rows."""

import asyncio
from contextlib import suppress

import sqlalchemy as sa
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.faults import history
from tests.faults.tally import Tally
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool

READ_SECONDS = 5.0

_NEWS = sa.text(f"""
    SELECT task_record_id AS run, seq, group_seq, kind, event, payload,
           extract(epoch FROM {history.COMMITTED})::double precision AS committed,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS upto
      FROM task_record_events WHERE tenant = :tenant AND xact >= :since
     ORDER BY task_record_id, seq
""")
"""Whatever is of a transaction before `upto` is there by then."""


class Archive:
    def __init__(self, database_url: str, tenant: str, task_types: frozenset[str]) -> None:
        """`task_types`: of the runs whose events are wanted as they are told."""
        self.table: history.History = {}
        self.told: dict[str, list[TaskRecordEvent]] = {}
        """In VIEW_FULL."""
        self.miscounted: list[str] = []
        """Counts that are not those of the run's blocks."""
        self._task_types = task_types
        self._tallies: dict[str, Tally] = {}
        self._database_url = database_url
        self._tenant = tenant
        self._since = 0

    async def go_on(self) -> None:
        """Reads until cancelled."""
        while True:
            with suppress(VwedError, OSError, TimeoutError):  # what happens to PostgreSQL passes
                await self.read()
            await asyncio.sleep(READ_SECONDS)

    async def read(self) -> None:
        """All that is new."""
        pool = Pool(Connector(self._database_url), connections=1, statement_timeout=60)
        try:
            rows = await pool.select(_NEWS, {"tenant": self._tenant, "since": self._since})
        finally:
            await pool.close()
        for row in rows:
            events = self.table.setdefault(row.run, [])
            if not events or row.seq > events[-1].seq:
                events.append(
                    history.stored(row.group_seq, row.kind, row.event, row.payload, row.committed)
                )
                self._keep(row.run, row.event, row.payload or b"")
            self._since = row.upto

    def _keep(self, run: str, event: bytes, payload: bytes) -> None:
        basic = TaskRecordEvent.FromString(event)
        self.miscounted += self._tallies.setdefault(run, Tally(run)).take(basic)
        if basic.seq == 1 and basic.task_record.task_type in self._task_types:
            self.told[run] = []
        if run in self.told:
            self.told[run].append(TaskRecordEvent.FromString(event + payload))
