"""What the largest answers are made of, by SQL where calls would take long."""

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa
from vwed.v1.cache_service_pb2 import BatchSetDataCacheRequest, SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    ReportBlocksRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskDefRequest,
    CreateTaskTemplateRequest,
    UpdateTaskDefRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

from bench.turns import contents
from vwed.client import Client

DEF, SMALL_DEF, TEMPLATE = "large-def", "small-def", "large-template"
RUN, HISTORY = "run", "history"
GROUPS = 10_000
LABELS = {f"label-{n:02}": f"value {n}" for n in range(16)}

_RUNS = """
    INSERT INTO task_records (tenant, id, task_def_id, task_def_version, task_def_name, task_type,
           status, input, labels, robot_id, executor_id, parent_task_record_id,
           root_task_record_id, config_blocks, seq, run_seq, start_time, end_time, create_time,
           update_time, etag)
    SELECT tenant, :prefix || n, task_def_id, 1, task_def_name, task_type,
           :status, CASE WHEN n <= 1000 THEN input END, labels, 'robot-' || n, 'executor',
           :parent, CASE :parent WHEN '' THEN :prefix || n ELSE :parent END, 8, 1, 1,
           create_time - n * interval '1 second',
           CASE WHEN :status IN (7, 8, 9) THEN create_time END,
           create_time - n * interval '10 second', update_time, etag
      FROM task_records, generate_series(1, CAST(:count AS int)) n
     WHERE tenant = 'turns' AND id = 'seed'
"""
_EVENTS = """
    INSERT INTO task_record_events (tenant, task_record_id, seq, group_seq, kind, event_time, event)
    SELECT r.tenant, r.id, 1, 1, 1, e.event_time, e.event
      FROM task_records r, task_record_events e
     WHERE r.tenant = 'turns' AND r.id LIKE :prefix || '%' AND r.id ~ '[0-9]$'
       AND e.tenant = 'turns' AND e.task_record_id = 'seed' AND e.seq = 1
"""
_TYPES = """
    INSERT INTO block_records (tenant, task_record_id, block_id, iteration, attempt, id, block_type,
           status, first_seq, seq, start_time, end_time, create_time, update_time)
    SELECT tenant, id, 'b' || n, '', 1, 'id-' || n, 'type ' || n, 4, 1 + n, 1 + n,
           create_time, create_time + interval '1 s', create_time, update_time
      FROM task_records, generate_series(1, CAST(:count AS int)) n
     WHERE tenant = 'turns' AND id = :run
"""
_MANY_OPEN = """
    INSERT INTO block_records (tenant, task_record_id, block_id, iteration, attempt, id, block_type,
           status, first_seq, seq, create_time, update_time)
    SELECT tenant, id, 'b' || n, '', 1, 'id-' || n, 'move', :status, seq + n, seq + n,
           create_time, update_time
      FROM task_records, generate_series(1, CAST(:count AS int)) n
     WHERE tenant = 'turns' AND id = :run
"""
_COUNTED = """
    UPDATE task_records SET seq = seq + :count, blocks_recorded = :count, {field} = :count
     WHERE tenant = 'turns' AND id = :run
"""
_ENTRIES = """
    INSERT INTO data_cache (tenant, task_record_id, key, id, type, value, version, create_time,
                            update_time)
    SELECT tenant, task_record_id, 'more-' || n, 'e' || n, type, value, n, create_time, update_time
      FROM data_cache, generate_series(1, CAST(:count AS int)) n
     WHERE tenant = 'turns' AND task_record_id = :run AND key = 'first'
"""


@dataclass(frozen=True)
class Seed:
    client: Client
    engine: sa.Engine

    async def basics(self) -> None:
        definitions = self.client.definitions
        large, other = contents.blocks(), contents.blocks(1)
        await definitions.CreateTaskDef(
            CreateTaskDefRequest(task_def=TaskDef(id=DEF, name="large", config=large))
        )
        await definitions.UpdateTaskDef(
            UpdateTaskDefRequest(task_def=TaskDef(id=DEF, config=other))
        )
        await definitions.CreateTaskDef(
            CreateTaskDefRequest(task_def=TaskDef(id=SMALL_DEF, name="small"))
        )
        template = TaskTemplate(
            id=TEMPLATE,
            name="template",
            config=contents.blocks(parameter="a"),
            parameters_schema=contents.struct({"properties": {"a": {}}}),
        )
        await definitions.CreateTaskTemplate(CreateTaskTemplateRequest(task_template=template))
        await self.run("seed", start=False)
        await self.run(RUN)
        await self.run(HISTORY)
        for n in range(4):
            await self.client.records.ReportBlocks(
                ReportBlocksRequest(task_record_id=HISTORY, block_records=contents.reports(n))
            )
        await self.entries(RUN)
        await asyncio.to_thread(self.runs, "done-", GROUPS, 7)
        await self.run("typed", start=False)
        await asyncio.to_thread(self.sql, _TYPES, run="done-1", count=GROUPS)

    async def run(self, id_: str, *, start: bool = True, parent: str = "") -> str:
        record = TaskRecord(
            id=id_,
            task_def_id=SMALL_DEF,
            input=contents.small(1, 100),
            labels=LABELS,
            parent_task_record_id=parent,
        )
        await self.client.records.CreateTaskRecord(CreateTaskRecordRequest(task_record=record))
        if start:
            await self.client.records.StartTaskRecord(
                StartTaskRecordRequest(id=id_, executor_id="executor")
            )
        return id_

    async def entries(self, run: str, count: int = 1_000) -> None:
        entry = DataCache(key="first")
        entry.json_value.struct_value.CopyFrom(contents.small(1))
        await self.client.cache.BatchSetDataCache(
            BatchSetDataCacheRequest(
                task_record_id=run, requests=[SetDataCacheRequest(data_cache=entry)]
            )
        )
        await asyncio.to_thread(self.sql, _ENTRIES, run=run, count=count)

    async def many_blocks(self, id_: str, count: int, status: int, *, reports: int = 0) -> str:
        """A run with so many blocks of a status."""
        await self.run(id_)
        if reports:
            await self.client.records.ReportBlocks(
                ReportBlocksRequest(task_record_id=id_, block_records=contents.reports(0, reports))
            )
        await asyncio.to_thread(self.sql, _MANY_OPEN, run=id_, count=count, status=status)
        field = {2: "blocks_running", 4: "blocks_succeeded"}[status]
        await asyncio.to_thread(self.sql, _COUNTED.format(field=field), run=id_, count=count)
        return id_

    def runs(self, prefix: str, count: int, status: int, parent: str = "") -> None:
        self.sql(_RUNS, prefix=prefix, count=count, status=status, parent=parent)
        self.sql(_EVENTS, prefix=prefix)

    def sql(self, statement: str, **parameters: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), parameters)
