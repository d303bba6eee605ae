"""SummarizeBlockRecords: by block_type, of the runs that ended in a range."""

from datetime import timedelta

import pytest
from grpc import StatusCode
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.record_service_pb2 import BlockRecordSummary, SummarizeBlockRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.integration.lists.test_summaries_of_runs import DAY, between, in_seconds
from tests.support.history_of import End, write_runs
from tests.support.steps import refused
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import FAILED, SUCCEEDED


async def summarize(
    client: Client, span: TimeRange, f: TaskRecordFilter | None = None
) -> list[BlockRecordSummary]:
    request = SummarizeBlockRecordsRequest(filter=f, end_time=span)
    return list((await client.records.SummarizeBlockRecords(request)).block_record_summaries)


@pytest.fixture
async def day(database_url: str, tenant: str) -> TimeRange:
    """Two runs that ended on one day, and one on the next."""
    done, failed, skipped = blocks.SUCCEEDED, blocks.FAILED, blocks.SKIPPED
    await write_runs(
        database_url,
        tenant,
        End(
            DAY, 1, 1, SUCCEEDED, robot="r1",
            blocks=[("drive", done, 10), ("drive", done, 20), ("lift", skipped, None)],
        ),
        End(
            DAY, 1, 1, FAILED, robot="r2",
            blocks=[("drive", done, 40), ("drive", failed, 90), ("", done, 1)],
        ),
        End(DAY + timedelta(days=1), 1, 1, SUCCEEDED, blocks=[("drive", failed, 1)]),
    )  # fmt: skip
    return between(DAY, DAY + timedelta(days=1))


async def test_figures_by_type(client: Client, day: TimeRange) -> None:
    untyped, drive, lift = await summarize(client, day)
    assert (untyped.block_type, untyped.count) == ("", 1)
    assert (drive.block_type, drive.count, drive.failure_rate) == ("drive", 4, 1 / 4)
    # Of 10, 20, 40, 90: 0.95 lies 2.85 steps up, at 40 + 0.85 x 50.
    assert in_seconds(drive.duration) == pytest.approx((30, 82.5, 90))
    assert (lift.block_type, lift.count, lift.failure_rate) == ("lift", 1, 0)
    assert not lift.HasField("duration")


async def test_the_filter_is_of_runs(client: Client, day: TimeRange) -> None:
    (_, drive) = await summarize(client, day, TaskRecordFilter(robot_ids=["r2"]))
    assert (drive.count, drive.failure_rate) == (2, 1 / 2)
    assert await summarize(client, day, TaskRecordFilter(robot_ids=["r3"])) == []


async def test_the_range_is_as_for_runs(client: Client, day: TimeRange) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await summarize(client, between(DAY, DAY + timedelta(days=93)))
    assert refusal.fields == ["end_time"]
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await summarize(client, TimeRange(to=day.to))
    assert refusal.fields == ["end_time.from"]
    assert await summarize(client, between(DAY - timedelta(days=92), DAY)) == []
