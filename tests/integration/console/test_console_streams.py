"""Server-sent events of one run, and of many."""

import asyncio
from collections.abc import AsyncIterator

from vwed.v1.record_service_pb2 import DeleteTaskRecordRequest

from tests.support.calls import finish_run
from tests.support.console import Console, Sent, request, stream
from tests.support.steps import block, create, report, running, sql
from vwed.client import Client
from vwed_grpc.domain.blocks import FAILED, RUNNING, SUCCEEDED


async def test_a_run_is_told_from_its_table_to_its_end(
    console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    await report(client, run.id, block("a", RUNNING))
    async with stream(console, f"/api/runs/{run.id}/stream?tenant={tenant}") as sent:
        table = await anext(sent)
        assert table.kind == "table"
        assert not table.id  # it is no place to go on from
        assert [(row["title"], row["status"]) for row in table.data["rows"]] == [
            ("a", "RUNNING"),
            ("b", ""),
        ]
        for seq in (1, 2, 3):
            assert (await anext(sent)).id == str(seq)
        await report(client, run.id, block("a", FAILED, error_message="托盘歪了"))
        change = await anext(sent)
        assert change.id == "4"
        assert change.data["status"] == "FAILED"
        assert change.data["text"] == "托盘歪了"
        later = await _until(sent, "table")
        assert later.data["rows"][0]["status"] == "FAILED"
        assert later.data["rows"][0]["message"] == "托盘歪了"
        await finish_run(client, run.id)
        rest = [event async for event in sent]
        assert [event.kind for event in rest if event.kind != "change"] == ["table", "end"]
        last = rest[-2].data
        assert last["run"]["status"] == "TASK_RECORD_STATUS_SUCCEEDED"


async def test_it_goes_on_behind_the_last_event_that_was_seen(
    console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    await report(client, run.id, *(block(f"b{n}", SUCCEEDED) for n in range(300)))
    await finish_run(client, run.id)
    at = f"/api/runs/{run.id}/stream?tenant={tenant}"
    for where, headers, first in (
        ("", {}, 104),  # the last events alone, unless asked otherwise
        ("", {"last_event_id": "301"}, 302),
        ("&after=3", {}, 4),
        ("&after=3", {"last_event_id": "301"}, 302),
        ("", {"last_event_id": "303"}, 304),
    ):
        async with stream(console, at + where, **headers) as sent:
            seqs = [int(event.id) async for event in sent if event.kind == "change"]
        assert seqs == list(range(first, 304)), where


async def test_it_begins_anew_behind_what_there_is(
    console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    await finish_run(client, run.id)
    at = f"/api/runs/{run.id}/stream?tenant={tenant}&after=99"
    async with stream(console, at) as sent:
        kinds = [event.kind async for event in sent]
    assert kinds == ["table", "restart", "table", *["change"] * 3, "end"]


async def test_what_was_not_kept_is_no_gap(
    console: Console, client: Client, tenant: str, database_url: str
) -> None:
    run = await running(client)
    await report(client, run.id, *(block(f"b{n}", SUCCEEDED) for n in range(20)))
    await finish_run(client, run.id)
    await sql(
        database_url,
        "DELETE FROM task_record_events"
        " WHERE tenant = :tenant AND task_record_id = :run AND seq <= 13 RETURNING seq",
        tenant=tenant,
        run=run.id,
    )
    async with stream(console, f"/api/runs/{run.id}/stream?tenant={tenant}&after=5") as sent:
        told = [event async for event in sent]
    assert [event.kind for event in told][:3] == ["table", "restart", "table"]
    assert [int(event.id) for event in told if event.kind == "change"] == list(range(14, 24))
    at = f"/api/runs/{run.id}/events?tenant={tenant}"
    for before, seqs in ((300, range(14, 24)), (16, range(14, 16)), (14, ()), (10, ())):
        page = (await request(console, f"{at}&before={before}")).json["events"]
        assert [event["seq"] for event in page] == list(seqs), before


async def test_a_run_that_is_not_there_is_said(console: Console) -> None:
    async with stream(console, "/api/runs/none/stream") as sent:
        (failed,) = [event async for event in sent]
    assert failed.kind == "failed"
    assert failed.data["code"] == "NOT_FOUND"


async def test_of_many_runs_the_changes_are_told_once_the_list_may_be_read(
    console: Console, client: Client, tenant: str
) -> None:
    await create(client)
    at = f"/api/runs/stream?tenant={tenant}"
    async with stream(console, at) as sent:
        assert [(await anext(sent)).kind for _ in range(2)] == ["mark", "ready"]
        later = await create(client)
        told = await anext(sent)
        assert told.kind == "run"
        assert told.data["id"] == later.id
        token = (await _until(sent, "mark")).id
    meanwhile = await running(client)
    await finish_run(client, meanwhile.id)
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=meanwhile.id))
    async with stream(console, at, last_event_id=token) as sent:
        told = await _until(sent, "run")
        if told.data["id"] == later.id:  # what was told last may be told again
            told = await _until(sent, "run")
        assert told.data == {"id": meanwhile.id, "deleted": True}


async def test_a_token_that_leads_nowhere_begins_anew(
    console: Console, client: Client, tenant: str
) -> None:
    await create(client)
    async with stream(console, f"/api/runs/stream?tenant={tenant}", last_event_id="odd") as sent:
        await _until(sent, "ready")


async def _until(sent: AsyncIterator[Sent], kind: str) -> Sent:
    async with asyncio.timeout(30):
        async for event in sent:
            if event.kind == kind:
                return event
    raise AssertionError(f"no {kind} came")
