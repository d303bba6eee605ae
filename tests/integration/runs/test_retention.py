"""What retention does by itself: days for runs, days for events, by tenant; pinned runs stay."""

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    ListTaskRecordEventsRequest,
)

from tests.support.aging import age, ended, left, rows_of, until_none
from tests.support.calls import finish_run
from tests.support.feeding import feeding
from tests.support.steps import (
    block,
    create,
    define,
    get,
    history,
    refused,
    report,
    running,
    sql,
    start,
)
from tests.support.watching import watch_to_end
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.retention import Retention
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


async def test_retention_keeps_to_the_days_of_the_tenant(
    client: Client, settings: Settings, database_url: str, tenant: str
) -> None:
    old, new = await ended(client), await ended(client)
    pinned, is_open = await ended(client, pinned=True), await running(client)
    for run, days in ((old, 8), (new, 6), (pinned, 8), (is_open, 8)):
        await age(database_url, tenant, run.id, days)
    rules = {tenant: Retention(runs_days=7), "*": Retention(runs_days=36_500)}
    own = settings.model_copy(update={"redis_url": "none", "retention": rules})
    async with feeding(client) as seen, serving(own):
        await until_none(database_url, "SELECT 1 FROM task_records WHERE id = :id", id=old.id)
        # Its history went with it; a deletion is told all the same.
        await seen.reach(old.id, old.seq + 1)
        assert seen.changes[old.id][-1].reason == "retention"
    assert await left(client) == {new.id, pinned.id, is_open.id}
    assert set((await rows_of(database_url, old.id)).values()) == {0}
    for run in (new, pinned):
        assert (await history(client, run.id))[-1].seq == run.seq


async def test_old_events_go_first_and_resuming_before_is_out_of_range(
    client: Client, settings: Settings, database_url: str, tenant: str
) -> None:
    old, pinned = await running(client), await ended(client, pinned=True)
    await report(client, old.id, block("a", RUNNING))
    for run in (old, pinned):
        await age(database_url, tenant, run.id, 3)
    await report(client, old.id, block("b", RUNNING))
    rules = {tenant: Retention(events_days=2)}
    own = settings.model_copy(update={"redis_url": "none", "retention": rules})
    async with serving(own):
        await until_none(
            database_url,
            "SELECT 1 FROM task_record_events WHERE task_record_id = :id AND seq = 1",
            id=old.id,
        )
    assert [event.seq for event in await history(client, old.id, after_seq=3)] == [4]
    request = ListTaskRecordEventsRequest(task_record_id=old.id)
    everything_kept = await client.records.ListTaskRecordEvents(request)
    assert [event.seq for event in everything_kept.events] == [4]
    for after_seq in (1, 2):
        expected = {"oldest_seq": "4", "current_seq": "4"}
        with refused(StatusCode.OUT_OF_RANGE) as refusal:
            await watch_to_end(client, old.id, after_seq)
        assert refusal.metadata == expected
        request = ListTaskRecordEventsRequest(task_record_id=old.id, after_seq=after_seq)
        with refused(StatusCode.OUT_OF_RANGE) as refusal:
            await client.records.ListTaskRecordEvents(request)
        assert refusal.metadata == expected
    # The run itself is whole, and goes on where it was.
    assert (await get(client, old.id)).block_counts.running == 2
    assert (await finish_run(client, old.id)).seq == 7
    assert [event.seq for event in await history(client, old.id, after_seq=3)] == [4, 5, 6, 7]
    assert len(await history(client, pinned.id)) == pinned.seq


async def test_an_id_is_free_again_once_its_events_are_gone(
    client: Client, settings: Settings, database_url: str, tenant: str
) -> None:
    task_def = await define(client, {})
    await create(client, task_def.id, id="order-1")
    await start(client, "order-1")
    await finish_run(client, "order-1")
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id="order-1"))
    with refused(StatusCode.ALREADY_EXISTS, "ID_TAKEN"):
        await create(client, task_def.id, id="order-1")
    await age(database_url, tenant, "order-1", 3)
    rules = {tenant: Retention(events_days=2)}
    own = settings.model_copy(update={"redis_url": "none", "retention": rules})
    async with serving(own):
        await until_none(
            database_url, "SELECT 1 FROM task_record_events WHERE tenant = :tenant", tenant=tenant
        )
    assert (await create(client, task_def.id, id="order-1")).seq == 1


@pytest.mark.parametrize("what", ["runs_days", "events_days"])
async def test_retention_goes_on_until_nothing_is_left(
    client: Client, settings: Settings, database_url: str, tenant: str, what: str
) -> None:
    """In one round, however many batches that takes."""
    run = await finish_run(client, (await running(client)).id)
    await sql(
        database_url,
        "INSERT INTO task_records (tenant, id, status, create_time, update_time, end_time)"
        " SELECT tenant, 'copy-' || n, status, create_time, update_time, end_time"
        " FROM task_records, generate_series(1, 250) n WHERE tenant = :tenant AND id = :id"
        " RETURNING id",
        tenant=tenant,
        id=run.id,
    )
    # So many of one run that a batch has room for no other.
    await sql(
        database_url,
        "INSERT INTO task_record_events (tenant, task_record_id, seq, kind, event_time, event)"
        " SELECT tenant, CASE WHEN n > 12000 THEN 'copy-' || n - 12000 ELSE 'big' END, n, 1,"
        " event_time, event FROM task_record_events, generate_series(1, 12250) n"
        " WHERE tenant = :tenant AND task_record_id = :id AND seq = 1 RETURNING seq",
        tenant=tenant,
        id=run.id,
    )
    await sql(
        database_url,
        "UPDATE task_records SET end_time = end_time - interval '3 days'"
        " WHERE tenant = :tenant RETURNING id",
        tenant=tenant,
    )
    await sql(
        database_url,
        "UPDATE task_record_events SET event_time = event_time - interval '3 days'"
        " WHERE tenant = :tenant RETURNING seq",
        tenant=tenant,
    )
    rules = {tenant: Retention(**{what: 2})}
    own = settings.model_copy(update={"redis_url": "none", "retention": rules})
    table = "task_records" if what == "runs_days" else "task_record_events"
    old = "end_time" if what == "runs_days" else "event_time"
    async with serving(own):
        await until_none(
            database_url,
            f"SELECT 1 FROM {table} WHERE tenant = :tenant"
            f" AND {old} < clock_timestamp() - interval '2 days' LIMIT 1",
            tenant=tenant,
        )
