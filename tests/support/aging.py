"""Runs that are old, and what is left of them."""

from typing import Any

from vwed.v1.record_service_pb2 import ListTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import finish_run, set_entry
from tests.support.steps import block, report, running, sql
from tests.support.waiting import until_true
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.lifecycle import SUCCEEDED, Status


async def left(client: Client) -> set[str]:
    answer = await client.records.ListTaskRecords(ListTaskRecordsRequest(page_size=1000))
    return {run.id for run in answer.task_records}


async def age(database_url: str, tenant: str, run: str, days: float) -> None:
    """Makes a run and its events so much older."""
    await sql(
        database_url,
        "UPDATE task_records SET end_time = end_time - make_interval(secs => :seconds)"
        " WHERE tenant = :tenant AND id = :run RETURNING id",
        tenant=tenant,
        run=run,
        seconds=days * 86_400,
    )
    await sql(
        database_url,
        "UPDATE task_record_events SET event_time = event_time - make_interval(secs => :seconds)"
        " WHERE tenant = :tenant AND task_record_id = :run RETURNING seq",
        tenant=tenant,
        run=run,
        seconds=days * 86_400,
    )


async def ended(client: Client, status: Status = SUCCEEDED, **fields: Any) -> TaskRecord:
    """A run that has ended, with something in every table."""
    run = await running(client, labels={"zone": "a"}, **fields)
    await report(client, run.id, block("a", RUNNING), block("b", RUNNING))
    await set_entry(client, run.id, "k", int_value=1)
    return await finish_run(client, run.id, status)


async def rows_of(database_url: str, run: str) -> dict[str, int]:
    """Table -> how many rows it has of the run."""
    columns = {
        "task_records": "id",
        "block_records": "task_record_id",
        "data_cache": "task_record_id",
        "task_record_labels": "task_record_id",
    }
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE {column} = :run) AS {table}"
        for table, column in columns.items()
    )
    return dict((await sql(database_url, f"SELECT {counts}", run=run))[0]._mapping)


async def until_none(database_url: str, statement: str, **values: Any) -> None:
    """Waits until a statement finds nothing."""

    async def look() -> bool:
        return not await sql(database_url, statement, **values)

    await until_true(look, what=f"no row of {statement}", every=0.05)
