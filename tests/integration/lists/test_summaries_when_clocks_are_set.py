"""Hours and days through the nights that have a midnight, an hour or a part of one twice or never.

Checked against Python's own time zones, minute by minute.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from vwed.v1.record_service_pb2 import SummarizeTaskRecordsRequest

from tests.integration.lists.test_summaries_of_runs import between
from tests.support.history_of import End, write_runs
from vwed.client import Client
from vwed_grpc.domain.lifecycle import SUCCEEDED

By = SummarizeTaskRecordsRequest.GroupBy
MINUTE = timedelta(minutes=1)


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[misc,arg-type]  # year, month, day, …


CHANGES = [
    ("America/Havana", utc(2025, 11, 2, 5)),  # 01:00 becomes 00:00: two midnights
    ("America/Havana", utc(2026, 3, 8, 5)),  # 00:00 becomes 01:00: no midnight
    ("Atlantic/Azores", utc(2025, 10, 26, 1)),  # 01:00 becomes 00:00
    ("Australia/Lord_Howe", utc(2026, 4, 4, 15)),  # 02:00 becomes 01:30
    ("Australia/Lord_Howe", utc(2025, 10, 4, 15, 30)),  # 02:00 becomes 02:30
    ("Asia/Beirut", utc(2026, 3, 28, 22)),  # no midnight
    ("Africa/Cairo", utc(2026, 4, 23, 22)),  # no midnight
    ("Africa/Cairo", utc(2025, 10, 30, 21)),  # midnight becomes 23:00
    ("America/Sao_Paulo", utc(2018, 11, 4, 3)),  # no midnight
    ("America/Sao_Paulo", utc(2018, 2, 18, 2)),  # midnight becomes 23:00
    ("Asia/Pyongyang", utc(2015, 8, 14, 15)),  # midnight becomes 23:30
    ("Pacific/Apia", utc(2011, 12, 30, 10)),  # a day that never was
    ("Europe/Berlin", utc(2025, 10, 26, 1)),  # an hour twice, far from midnight
    ("UTC", utc(2025, 10, 26, 1)),
]
NIGHTS = [pytest.param(*change, id=f"{change[0]} {change[1]:%Y-%m}") for change in CHANGES]


def hour_began(at: datetime, zone: ZoneInfo) -> datetime:
    """Back as long as the clock of the wall goes on evenly in its hour."""
    while True:
        here, before = at.astimezone(zone), (at - MINUTE).astimezone(zone)
        evenly = here.replace(tzinfo=None) - before.replace(tzinfo=None) == MINUTE
        if not evenly or here.hour != before.hour:
            return at
        at -= MINUTE


def first_minutes(since: datetime, until: datetime, zone: ZoneInfo) -> dict[date, datetime]:
    """Of each date, on the wall, that a range has a part of."""
    first: dict[date, datetime] = {}
    at = since.replace(second=0) - timedelta(days=3)
    while at < until:
        first.setdefault(at.astimezone(zone).date(), at)
        at += MINUTE
    return first


async def periods(
    client: Client, by: By.ValueType, zone: str, since: datetime, until: datetime
) -> dict[str, datetime]:
    """Robot -> where the period begins that its run is counted in."""
    request = SummarizeTaskRecordsRequest(
        end_time=between(since, until), group_by=[By.GROUP_BY_ROBOT, by], time_zone=zone
    )
    found = (await client.records.SummarizeTaskRecords(request)).task_record_summaries
    assert all(summary.count == 1 for summary in found)
    return {summary.robot_id: summary.period_start.ToDatetime(UTC) for summary in found}


async def ends_around(
    database_url: str, tenant: str, change: datetime
) -> tuple[dict[str, datetime], datetime, datetime]:
    """Runs of a robot each, and a range that has them."""
    ends = {
        f"r{n}": change + timedelta(minutes=25 * n, seconds=59 if n % 2 else 0)
        for n in range(-70, 70)
    }
    await write_runs(
        database_url,
        tenant,
        *(End(at, 1, 1, SUCCEEDED, robot=robot) for robot, at in ends.items()),
    )
    return ends, ends["r-70"], ends["r69"] + MINUTE


@pytest.mark.parametrize(("zone", "change"), NIGHTS)
async def test_a_period_begins_at_its_first_instant(
    client: Client, database_url: str, tenant: str, zone: str, change: datetime
) -> None:
    ends, since, until = await ends_around(database_url, tenant, change)
    here = ZoneInfo(zone)
    assert await periods(client, By.GROUP_BY_HOUR, zone, since, until) == {
        robot: hour_began(at.replace(second=0), here) for robot, at in ends.items()
    }
    days = first_minutes(since, until, here)
    assert await periods(client, By.GROUP_BY_DAY, zone, since, until) == {
        robot: days[at.astimezone(here).date()] for robot, at in ends.items()
    }


@pytest.mark.parametrize(
    ("zone", "change"), [*NIGHTS, ("America/St_Johns", utc(2010, 11, 7, 2, 31))]
)
async def test_periods_follow_each_other(
    client: Client, database_url: str, tenant: str, zone: str, change: datetime
) -> None:
    """Also where 00:01 becomes 23:01 of the day before, which makes two of every date."""
    ends, since, until = await ends_around(database_url, tenant, change)
    for by in (By.GROUP_BY_HOUR, By.GROUP_BY_DAY):
        found = await periods(client, by, zone, since, until)
        following = dict(pairwise(sorted({*found.values()})))
        for robot, at in ends.items():
            start = found[robot]
            assert start <= at < following.get(start, until)


@pytest.mark.parametrize("by", [By.GROUP_BY_HOUR, By.GROUP_BY_DAY])
@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime.min.replace(tzinfo=UTC), utc(1, 4, 1)),
        (utc(9999, 10, 10), datetime.max.replace(tzinfo=UTC)),
        (utc(1890, 1, 1), utc(1890, 4, 1)),
    ],
)
async def test_a_range_may_be_anywhere(
    client: Client,
    database_url: str,
    tenant: str,
    by: By.ValueType,
    since: datetime,
    until: datetime,
) -> None:
    """Also where offsets had seconds, and at both ends of what a Timestamp can say."""
    end = until - timedelta(hours=36)
    await write_runs(database_url, tenant, End(end, 0, 0, SUCCEEDED, robot="r"))
    for zone in ("Europe/Amsterdam", "Pacific/Apia", "Asia/Manila"):
        began = (await periods(client, by, zone, since, until))["r"]
        assert end - timedelta(hours=24 if by == By.GROUP_BY_DAY else 1) < began <= end
