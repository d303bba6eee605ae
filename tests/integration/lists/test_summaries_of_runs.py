"""SummarizeTaskRecords: figures that were worked out by hand, by every key, in any time zone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.record_service_pb2 import (
    DurationFigures,
    SummarizeTaskRecordsRequest,
    TaskRecordSummary,
)
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.feeding import labelled
from tests.support.history_of import End, write_runs
from tests.support.steps import create, refused
from vwed.client import Client
from vwed_grpc.domain.lifecycle import CANCELED, FAILED, RUNNING, SUCCEEDED

By = SummarizeTaskRecordsRequest.GroupBy
DAY = datetime(2026, 3, 2, tzinfo=UTC)


def stamp(at: datetime) -> Timestamp:
    result = Timestamp()
    result.FromDatetime(at)
    return result


def between(start: datetime, end: datetime) -> TimeRange:
    return TimeRange(**{"from": stamp(start), "to": stamp(end)})


async def summarize(
    client: Client,
    *group_by: By.ValueType,
    span: TimeRange | None = None,
    f: TaskRecordFilter | None = None,
    time_zone: str = "",
) -> list[TaskRecordSummary]:
    request = SummarizeTaskRecordsRequest(
        filter=f,
        end_time=span or between(DAY, DAY + timedelta(days=1)),
        group_by=group_by,
        time_zone=time_zone,
    )
    return list((await client.records.SummarizeTaskRecords(request)).task_record_summaries)


def in_seconds(figures: DurationFigures) -> tuple[float, float, float]:
    p50, p95, longest = figures.p50, figures.p95, figures.max
    return tuple(d.ToMicroseconds() / 1e6 for d in (p50, p95, longest))  # type: ignore[return-value]  # three


@pytest.fixture
async def day(database_url: str, tenant: str) -> None:
    """Five runs that ended on one day, one the day before, one that has not."""
    noon = DAY + timedelta(hours=12)
    await write_runs(
        database_url,
        tenant,
        #       ended at                     waited  took
        End(noon, 1, 10, SUCCEEDED, robot="r1", task_def="d1", labels={"zone": "a"}),
        End(noon + timedelta(minutes=59), 2, 20, SUCCEEDED, robot="r1", task_def="d2"),
        End(noon + timedelta(hours=1), 3, 30, SUCCEEDED, robot="r2", task_def="d1"),
        End(noon + timedelta(hours=1), 10, 100, FAILED, robot="r2", task_def="d1"),
        End(noon + timedelta(hours=2), None, None, CANCELED, robot="", task_def="d2"),
        End(DAY - timedelta(seconds=1), 5, 5, SUCCEEDED, robot="r9", task_def="d9"),
        End(None, 1, None, RUNNING, robot="r1", task_def="d1"),
    )


pytestmark = pytest.mark.usefixtures("day")


async def test_all_together(client: Client) -> None:
    (all_,) = await summarize(client)
    assert all_.count == 5
    assert all_.success_rate == 3 / 4
    # Of 1, 2, 3, 10: the canceled one never began. 0.95 lies 2.85 steps up: 3 + 0.85 x 7.
    assert in_seconds(all_.queue_time) == pytest.approx((2.5, 8.95, 10))
    assert in_seconds(all_.duration) == pytest.approx((25, 89.5, 100))
    assert not all_.status
    assert not all_.HasField("period_start")


async def test_by_status(client: Client) -> None:
    found = await summarize(client, By.GROUP_BY_STATUS)
    assert [(s.status, s.count) for s in found] == [(SUCCEEDED, 3), (FAILED, 1), (CANCELED, 1)]
    succeeded, failed, canceled = found
    assert (succeeded.success_rate, failed.success_rate) == (1, 0)
    assert in_seconds(succeeded.duration) == pytest.approx((20, 29, 30))
    assert in_seconds(failed.duration) == pytest.approx((100, 100, 100))
    # What was not measured has no figures, not zeros.
    for name in ("success_rate", "duration", "queue_time"):
        assert not canceled.HasField(name)


async def test_by_definition_and_by_robot(client: Client) -> None:
    by_def = await summarize(client, By.GROUP_BY_TASK_DEF)
    assert [(s.task_def_id, s.count, s.success_rate) for s in by_def] == [
        ("d1", 3, 2 / 3),
        ("d2", 2, 1),
    ]
    by_robot = await summarize(client, By.GROUP_BY_ROBOT)
    assert [(s.robot_id, s.count) for s in by_robot] == [("", 1), ("r1", 2), ("r2", 2)]


async def test_by_hour_and_by_day(client: Client) -> None:
    noon = DAY + timedelta(hours=12)
    by_hour = await summarize(client, By.GROUP_BY_HOUR)
    assert [(s.period_start.ToDatetime(UTC), s.count) for s in by_hour] == [
        (noon, 2),
        (noon + timedelta(hours=1), 2),
        (noon + timedelta(hours=2), 1),
    ]
    wider = between(DAY - timedelta(days=1), DAY + timedelta(days=1))
    by_day = await summarize(client, By.GROUP_BY_DAY, span=wider)
    assert [(s.period_start.ToDatetime(UTC), s.count) for s in by_day] == [
        (DAY - timedelta(days=1), 1),
        (DAY, 5),
    ]


async def test_by_two_keys(client: Client) -> None:
    found = await summarize(client, By.GROUP_BY_TASK_DEF, By.GROUP_BY_STATUS)
    assert [(s.task_def_id, s.status, s.count) for s in found] == [
        ("d1", SUCCEEDED, 2),
        ("d1", FAILED, 1),
        ("d2", SUCCEEDED, 1),
        ("d2", CANCELED, 1),
    ]
    # An hour lies within one day.
    by_hour = await summarize(client, By.GROUP_BY_HOUR)
    assert await summarize(client, By.GROUP_BY_DAY, By.GROUP_BY_HOUR) == by_hour


async def test_the_filter_says_which_runs(client: Client) -> None:
    for f, count in (
        (labelled(zone="a"), 1),
        (TaskRecordFilter(robot_ids=["r1", "r2"]), 4),
        (TaskRecordFilter(statuses=[FAILED]), 1),
    ):
        assert sum(s.count for s in await summarize(client, f=f)) == count
    assert await summarize(client, By.GROUP_BY_STATUS, f=labelled(zone="none")) == []


async def test_the_range_is_half_open(client: Client) -> None:
    noon = DAY + timedelta(hours=12)
    (found,) = await summarize(client, span=between(noon, noon + timedelta(hours=1)))
    assert found.count == 2


async def test_nothing_of_another_tenant(database_url: str, client: Client) -> None:
    await write_runs(database_url, "another", End(DAY, 1, 1, SUCCEEDED))
    assert (await summarize(client))[0].count == 5


ZONES = ["Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Adelaide", "Etc/GMT+3"]


@pytest.mark.parametrize("zone", ZONES)
async def test_hours_and_days_are_those_of_the_time_zone(
    client: Client, database_url: str, tenant: str, zone: str
) -> None:
    """Through the nights on which clocks are set, and with offsets of half and quarter hours."""
    here = ZoneInfo(zone)
    ends = [
        night + timedelta(minutes=20 * n)
        for night in (datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC))
        for n in range(150)
    ]
    await write_runs(
        database_url, tenant, *(End(end, 1, 1, SUCCEEDED, labels={"of": zone}) for end in ends)
    )
    span = between(datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    for by, cut in (
        (By.GROUP_BY_HOUR, {"minute": 0}),
        (By.GROUP_BY_DAY, {"hour": 0, "minute": 0}),
    ):
        expected: dict[datetime, int] = {}
        for end in ends:
            # The wall clock is cut, with the offset that is in force there and then.
            period = end.astimezone(here).replace(**cut, second=0)  # type: ignore[arg-type]  # ints
            start = period.astimezone(UTC)
            expected[start] = expected.get(start, 0) + 1
        found = await summarize(client, by, span=span, f=labelled(of=zone), time_zone=zone)
        assert {s.period_start.ToDatetime(UTC): s.count for s in found} == expected


@pytest.mark.parametrize("zone", ["Mars/Phobos", "UTC+3", "FOO+3", "<A>3", "'", "EST5", "x" * 65])
async def test_what_is_no_iana_zone_is_refused(client: Client, zone: str) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await summarize(client, By.GROUP_BY_DAY, time_zone=zone)
    assert refusal.fields == ["time_zone"]


RANGES: list[tuple[TimeRange | None, str]] = [
    (TimeRange(**{"from": stamp(DAY)}), "end_time.to"),
    (TimeRange(to=stamp(DAY)), "end_time.from"),
    (between(DAY, DAY), "end_time"),
    (between(DAY, DAY - timedelta(days=1)), "end_time"),
    (between(DAY, DAY + timedelta(days=92, microseconds=1)), "end_time"),
]


@pytest.mark.parametrize(("span", "path"), RANGES)
async def test_the_range_has_both_ends_at_most_92_days_apart(
    client: Client, span: TimeRange, path: str
) -> None:
    assert await summarize(client, span=between(DAY, DAY + timedelta(days=92)))
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await summarize(client, span=span)
    assert refusal.fields == [path]


GROUPINGS: list[list[Any]] = [
    [By.GROUP_BY_STATUS, By.GROUP_BY_DAY, By.GROUP_BY_ROBOT],
    [By.GROUP_BY_STATUS, By.GROUP_BY_STATUS],
    [By.GROUP_BY_UNSPECIFIED],
    [77],
]


@pytest.mark.parametrize("group_by", GROUPINGS)
async def test_keys_are_at_most_two_different_ones(client: Client, group_by: list[Any]) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await summarize(client, *group_by)
    assert refusal.fields[0].startswith("group_by")


async def test_a_range_is_required(client: Client) -> None:
    await create(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.SummarizeTaskRecords(SummarizeTaskRecordsRequest())
    assert refusal.fields == ["end_time"]
