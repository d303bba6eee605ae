"""Times that an earlier release let in as infinite: read without harm, and never in the way."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.json_format import MessageToJson
from vwed.v1.common_pb2 import TimeRange, View
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    GetBlockRecordRequest,
    ListBlockRecordsRequest,
    SummarizeBlockRecordsRequest,
    WatchTaskRecordRequest,
)

from tests.support.calls import finish_run
from tests.support.steps import block, blocks_of, history, report, running, sql
from vwed.client import Client
from vwed_grpc.domain.blocks import CANCELED, RUNNING, SUCCEEDED
from vwed_grpc.domain.lifecycle import CANCELED as RUN_CANCELED


async def stored(client: Client, database_url: str) -> str:
    """A run with three blocks, one of which begins or ends at either end of time."""
    run = (await running(client)).id
    await report(client, run, *(block(name, RUNNING) for name in ("a", "b", "c")))
    await report(client, run, block("c", SUCCEEDED))
    for name, column, time in (
        ("a", "start_time", "-infinity"),
        ("b", "start_time", "infinity"),
        ("c", "end_time", "infinity"),
    ):
        await sql(
            database_url,
            f"UPDATE block_records SET {column} = '{time}'"
            " WHERE task_record_id = :run AND block_id = :name RETURNING id",
            run=run,
            name=name,
        )
    return run


async def test_they_are_read(client: Client, database_url: str) -> None:
    run = await stored(client, database_url)
    found = await blocks_of(client, run)
    assert [b.start_time.ToJsonString() for b in found[:2]] == [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ]
    for one in found:
        request = GetBlockRecordRequest(task_record_id=run, id=one.id)
        got = await client.records.GetBlockRecord(request)
        assert MessageToJson(got) == MessageToJson(one)
    async for message in client.records.WatchTaskRecord(
        WatchTaskRecordRequest(task_record_id=run, view=View.VIEW_FULL)
    ):
        MessageToJson(message)
        if message.bookmark_seq:
            break


async def test_the_run_goes_on_and_ends(client: Client, database_url: str) -> None:
    run = await stored(client, database_url)
    await report(client, run, block("a", RUNNING, message="still"), block("b", SUCCEEDED))
    ended = await finish_run(client, run)
    assert ended.progress == 1
    assert [b.status for b in await blocks_of(client, run)] == [CANCELED, SUCCEEDED, SUCCEEDED]
    for event in await history(client, run):
        MessageToJson(event)


async def test_it_can_be_canceled(client: Client, database_url: str) -> None:
    run = await stored(client, database_url)
    request = CancelTaskRecordRequest(id=run, force=True)
    assert (await client.records.CancelTaskRecord(request)).status == RUN_CANCELED


async def test_figures_leave_them_out(client: Client, database_url: str) -> None:
    run = await stored(client, database_url)
    await report(client, run, block("d", RUNNING))
    await report(client, run, block("d", SUCCEEDED))
    # Two reports may still say that a block ended before it began.
    await sql(
        database_url,
        "UPDATE block_records SET end_time = start_time - interval '1 day'"
        " WHERE task_record_id = :run AND block_id = 'd' RETURNING id",
        run=run,
    )
    await finish_run(client, run)
    now = datetime.now(UTC)
    span = TimeRange()
    getattr(span, "from").FromDatetime(now - timedelta(hours=1))
    span.to.FromDatetime(now + timedelta(hours=1))
    answer = await client.records.SummarizeBlockRecords(SummarizeBlockRecordsRequest(end_time=span))
    (figures,) = answer.block_record_summaries
    assert figures.count == 4
    assert figures.duration.max.ToTimedelta() == timedelta(0)
    assert figures.duration.p50.ToTimedelta() == timedelta(0)


@pytest.mark.parametrize("order", ["first_seq", "first_seq desc"])
async def test_they_are_listed_page_by_page(client: Client, database_url: str, order: str) -> None:
    run = await stored(client, database_url)
    request = ListBlockRecordsRequest(task_record_id=run, page_size=1, order_by=order)
    names = []
    while True:
        answer = await client.records.ListBlockRecords(request)
        names += [one.block_id for one in answer.block_records]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    assert sorted(names) == ["a", "b", "c"]
