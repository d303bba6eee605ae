"""What the cases read and write: definitions, runs, entries; a million runs by SQL."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, StartTaskRecordRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord

from bench.paths import DEFINITIONS, RECORDS
from bench.trial import answer_to
from vwed.client import Client

DEFINITION, RUN, KEY = "bench-def", "bench-run", "robot"
MILLION, CLAIMS = "million", "claims"
"""Tenants of their own."""
_CONFIG = {"blocks": [{"id": "pick", "type": "choose_robot"}, {"id": "drive", "type": "drive"}]}


@dataclass(frozen=True)
class Seed:
    client: Client

    async def basics(self) -> None:
        """One definition, one run of it that is under way, one entry in its data cache."""
        request = CreateTaskDefRequest(task_def=_definition())
        await self.client.definitions.CreateTaskDef(request)
        await self.run(RUN)
        entry = DataCache(task_record_id=RUN, key=KEY, string_value="AMR-03")
        await self.client.cache.SetDataCache(SetDataCacheRequest(data_cache=entry))

    async def run(self, id_: str) -> str:
        """A run that an executor has started."""
        await self.client.records.CreateTaskRecord(_create(id_))
        await self.client.records.StartTaskRecord(_start(id_))
        return id_

    async def runs(self, prefix: str, count: int) -> list[str]:
        """A few at a time: a busy machine would refuse all of them at once."""
        turns = asyncio.Semaphore(16)

        async def run(n: int) -> str:
            async with turns:
                return await self.run(f"{prefix}-{n}")

        return list(await asyncio.gather(*(run(n) for n in range(count))))


def more_runs(target: str, prefix: str, tenant: str = "default") -> Iterator[str]:
    """Further runs that an executor has started, without end; the tenant has the definition."""
    as_tenant = {"x-vwed-tenant": tenant}
    for id_ in (f"{prefix}-{n}" for n in itertools.count()):
        for method, request in (("Create", _create(id_)), ("Start", _start(id_))):
            body = request.SerializeToString()
            answer_to(target, f"{RECORDS}/{method}TaskRecord", body, as_tenant)
        yield id_


def pending_runs(target: str, tenant: str, count: int) -> None:
    """Runs that no executor has; the tenant has the definition."""
    for n in range(count):
        body = _create(f"pending-{n}").SerializeToString()
        answer_to(target, f"{RECORDS}/CreateTaskRecord", body, {"x-vwed-tenant": tenant})


_tenants = itertools.count(1)


def new_tenant(target: str, name: str) -> str:
    """One that nobody has had, with the definition."""
    tenant = f"{name}-{next(_tenants)}"
    request = CreateTaskDefRequest(task_def=_definition()).SerializeToString()
    answer_to(target, f"{DEFINITIONS}/CreateTaskDef", request, {"x-vwed-tenant": tenant})
    return tenant


def _definition() -> TaskDef:
    return TaskDef(id=DEFINITION, name="空托盘配送", config=struct(_CONFIG))


def _create(id_: str) -> CreateTaskRecordRequest:
    record = TaskRecord(
        id=id_,
        task_def_id=DEFINITION,
        external_id=f"WMS-{id_}",
        labels={"zone": "A"},
        input=struct({"station": "P-07"}),
    )
    return CreateTaskRecordRequest(task_record=record)


def _start(id_: str) -> StartTaskRecordRequest:
    return StartTaskRecordRequest(id=id_, executor_id="executor-1")


def struct(content: dict[str, Any]) -> Struct:
    return ParseDict(content, Struct())


_FILL_FINISHED = """
    INSERT INTO task_records (tenant, id, task_def_id, task_def_name, task_def_version, task_type,
                              status, external_id, executor_id, robot_id, labels, config_blocks,
                              blocks_succeeded, seq, run_seq, start_time, end_time,
                              create_time, update_time, etag)
    SELECT :tenant, 'run-' || n, 'def-' || n % 50, 'delivery ' || n % 50, 1, 'transport', 7,
           'WMS-' || n, 'executor-' || n % 20, 'AMR-' || n % 100,
           jsonb_build_object('zone', 'Z' || n % 30), 8, 8, 12, 12,
           timestamptz '2026-01-01' + n * interval '1 second',
           timestamptz '2026-01-01' + n * interval '1 second' + interval '2 minutes',
           timestamptz '2026-01-01' + n * interval '1 second', now(), md5(n::text)
      FROM generate_series(1, :runs) n
"""


def fill_finished(engine: sa.Engine, tenant: str, runs: int) -> None:
    """Finished runs, once; indexes are built after them, which is quicker."""
    with engine.begin() as connection:
        found = sa.text("SELECT 1 FROM task_records WHERE tenant = :tenant AND id = 'run-1'")
        if connection.execute(found, {"tenant": tenant}).first():
            return
        indexes = connection.execute(
            sa.text(
                "SELECT indexname, indexdef FROM pg_indexes"
                " WHERE tablename = 'task_records' AND indexname <> 'task_records_pkey'"
            )
        ).all()
        for index in indexes:
            connection.execute(sa.text(f"DROP INDEX {index.indexname}"))
        connection.execute(sa.text(_FILL_FINISHED), {"tenant": tenant, "runs": runs})
        for index in indexes:
            connection.execute(sa.text(index.indexdef))
    vacuum(engine)


_FILL_PENDING = f"""
    INSERT INTO task_records (tenant, id, task_def_id, task_def_version, task_type, status,
                              priority, config_blocks, seq, run_seq, create_time, update_time, etag)
    SELECT '{CLAIMS}', 'wait-' || :round || '-' || n, '{DEFINITION}', 1, 'transport', 1, n % 5,
           2, 1, 1, now() + n * interval '1 microsecond', now(), 'e'
      FROM generate_series(1, :runs - (SELECT count(*) FROM task_records
                                        WHERE tenant = '{CLAIMS}' AND status = 1)) n
"""


def fill_pending(engine: sa.Engine, runs: int, round_: str) -> None:
    """Makes as many runs wait for an executor as there should be."""
    with engine.begin() as connection:
        connection.execute(sa.text(_FILL_PENDING), {"runs": runs, "round": round_})
    vacuum(engine)


def claimed(engine: sa.Engine) -> int:
    """How many runs of that tenant have been started so far."""
    with engine.connect() as connection:
        return int(
            connection.execute(
                sa.text("SELECT count(*) FROM task_records WHERE tenant = :t AND status = 2"),
                {"t": CLAIMS},
            ).scalar_one()
        )


def vacuum(engine: sa.Engine) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("VACUUM ANALYZE task_records"))
