"""Times in reports: their years, their order, and that they are cut to microseconds."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.steps import block, blocks_of, everything, history, running
from tests.support.three_ways import WAYS, Outcome, Way
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED


def at(year: int, **fields: int) -> Timestamp:
    given = {"month": 1, "day": 1, **fields}
    stamp = Timestamp()
    stamp.FromDatetime(datetime(year, tzinfo=UTC, **given))
    return stamp


LAST = at(9998, month=12, day=31, hour=23, minute=59, second=59, microsecond=999_999)
NO_REPORTED_TIME = {
    "Go's zero time": at(1),
    "just before 1900": Timestamp(seconds=at(1900).seconds - 1, nanos=999_999_999),
    "year 9999": at(9999),
    "what PostgreSQL's driver takes for infinity": Timestamp(
        seconds=253_402_300_799, nanos=999_999_000
    ),
    "the last Timestamp": Timestamp(seconds=253_402_300_799, nanos=999_999_999),
}


@pytest.mark.parametrize(("way", "path"), WAYS)
@pytest.mark.parametrize("field", ["start_time", "end_time"])
@pytest.mark.parametrize("time", NO_REPORTED_TIME.values(), ids=NO_REPORTED_TIME)
async def test_times_beyond_1900_to_9998_are_refused(
    client: Client, way: Way, path: str, field: str, time: Timestamp
) -> None:
    run = await running(client)
    outcome = await way(client, run.id, block("a", SUCCEEDED, **{field: time}))
    assert (outcome.code, outcome.fields) == ("INVALID_ARGUMENT", [f"{path}.{field}"])
    assert await blocks_of(client, run.id) == []


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_the_first_and_the_last_time_are_kept(client: Client, way: Way, path: str) -> None:
    run = await running(client)
    last = Timestamp(seconds=LAST.seconds, nanos=999_999_999)
    await way(client, run.id, block("a", SUCCEEDED, start_time=at(1900), end_time=last))
    (made,) = await blocks_of(client, run.id)
    assert (made.start_time, made.end_time) == (at(1900), LAST), path


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_an_end_before_the_start_is_refused(client: Client, way: Way, path: str) -> None:
    run = await running(client)
    start, end = at(2026, day=2), at(2026)
    refused = await way(client, run.id, block("a", SUCCEEDED, start_time=start, end_time=end))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", [f"{path}.end_time"])
    assert await blocks_of(client, run.id) == []
    # Within one microsecond there is no before.
    start, end = Timestamp(seconds=9, nanos=1_900), Timestamp(seconds=9, nanos=1_100)
    taken = await way(client, run.id, block("a", SUCCEEDED, start_time=start, end_time=end))
    assert taken == Outcome(seq=3)
    (made,) = await blocks_of(client, run.id)
    assert made.start_time == made.end_time == Timestamp(seconds=9, nanos=1_000)


@pytest.mark.parametrize(("way", "path"), WAYS)
@pytest.mark.parametrize("status", [RUNNING, SUCCEEDED])
async def test_a_time_finer_than_microseconds_is_cut_and_idempotent(
    client: Client, way: Way, path: str, status: int
) -> None:
    run = await running(client)
    fine = Timestamp(seconds=1_700_000_000, nanos=1_999)
    reported = block("a", status, start_time=fine, end_time=fine)  # type: ignore[arg-type]  # one of them
    assert await way(client, run.id, reported) == Outcome(seq=3), path
    before = await everything(client, run.id)
    for _ in range(2):
        assert await way(client, run.id, reported) == Outcome(seq=3)
    assert await everything(client, run.id) == before
    cut = Timestamp(seconds=1_700_000_000, nanos=1_000)
    (made,) = await blocks_of(client, run.id)
    told = (await history(client, run.id))[-1].block_record
    assert {t.ToNanoseconds() for t in (made.start_time, told.start_time, told.end_time)} == {
        cut.ToNanoseconds()
    }
