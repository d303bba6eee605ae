"""No row, tenant or failure stops what the service does without a call."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import psycopg
import pytest
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # no types
from structlog.testing import capture_logs

from tests.support.broken_rows import spoil, trouble
from tests.support.databases import migrated_database
from tests.support.metrics_page import figures, free_address
from tests.support.steps import get, let_lease_run_out, running, until
from tests.support.waiting import PATIENCE, until_true
from vwed.client import Client, connect
from vwed_grpc import server
from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.domain.lifecycle import INTERRUPTED, RUNNING
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes import duties as module
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.condition import ROWS_IN_A_ROW, Condition
from vwed_grpc.writes.duties import Duties, Duty, Turn

_STATUS = health_pb2.HealthCheckResponse.ServingStatus


async def _comes(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - it is told to nobody
            await asyncio.sleep(0.02)


async def test_a_run_that_cannot_be_changed_keeps_no_other_from_its_end(
    client: Client, database_url: str
) -> None:
    bad, *good = [await running(client, lease=60, id=f"{n}-{id(client)}") for n in range(4)]
    async with trouble(database_url, "task_records", f"NEW.id = '{bad.id}' AND NEW.status = 6"):
        for run in (bad, *good):
            await let_lease_run_out(database_url, run.id)
        for run in good:
            await until(client, run.id, INTERRUPTED)
        assert (await get(client, bad.id, strong=True)).status == RUNNING
    await until(client, bad.id, INTERRUPTED)


async def test_a_run_that_cannot_be_read_keeps_no_other_from_its_end(
    client: Client, database_url: str
) -> None:
    bad, *good = [await running(client, lease=60, id=f"{n}-{id(client)}") for n in range(3)]
    await spoil(database_url, bad.id)
    for run in (bad, *good):
        await let_lease_run_out(database_url, run.id)
    for run in good:
        await until(client, run.id, INTERRUPTED)


async def test_one_tenants_trouble_delays_no_other(
    client: Client, target: str, tenant: str, database_url: str
) -> None:
    """However long each of its rows takes, and however often it comes back."""
    async with connect(target, tenant=f"{tenant}-other", bare=True) as other:
        slow = [await running(client, lease=60) for _ in range(3)]
        quick = [await running(other, lease=60) for _ in range(3)]
        async with trouble(
            database_url,
            "task_records",
            f"NEW.tenant = '{tenant}' AND NEW.status = 6",
            does="PERFORM pg_sleep(60)",
        ):
            for run in slow:
                await let_lease_run_out(database_url, run.id)
            for run in quick:
                await asyncio.sleep(0.5)  # that the slow ones have their turn
                await let_lease_run_out(database_url, run.id)
                await until(other, run.id, INTERRUPTED)


async def test_a_row_that_fails_is_counted_and_logged_once_and_health_is_well(
    settings: Settings, database_url: str, tenant: str
) -> None:
    own = settings.model_copy(update={"metrics_listen": free_address()})
    with capture_logs() as logs:

        def told(run: str) -> list[Any]:
            return [line for line in logs if line["event"] == "a row failed" and line["row"] == run]

        async with (
            serving(own) as port,
            connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        ):
            runs = [await running(client, lease=60) for _ in range(2)]
            bad = ", ".join(f"'{run.id}'" for run in runs)
            async with trouble(
                database_url, "task_records", f"NEW.id IN ({bad}) AND NEW.status = 6"
            ):
                for run in runs:
                    await let_lease_run_out(database_url, run.id)
                assert own.metrics_listen is not None
                await until_true(lambda: all(told(run.id) for run in runs))
                failures = 'vwed_duty_failures_total{duty="leases"}'
                before = (await figures(own.metrics_listen))[failures]
                async with asyncio.timeout(PATIENCE):
                    while (await figures(own.metrics_listen))[failures] < before + 2:  # noqa: ASYNC110 - over HTTP
                        await asyncio.sleep(0.05)
                found = await figures(own.metrics_listen)
                assert found['vwed_duty_failing_seconds{duty="leases"}'] == 0
            for run in runs:
                await until(client, run.id, INTERRUPTED)
    for run in runs:
        # The server that all tests share tells it as well.
        assert 1 <= len(told(run.id)) <= 2
        line = told(run.id)[0]
        assert (line["duty"], line["tenant"]) == ("leases", tenant)
        assert isinstance(line["exc_info"], Exception)


async def test_a_duty_that_keeps_failing_takes_its_service_out_of_service(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.FAILING_SECONDS == 10
    # The test is not about patience.
    monkeypatch.setattr(server, "FAILING_SECONDS", 0.5)
    for name in ("ENTRIES", "KEYS"):
        monkeypatch.setattr(server, name, replace(getattr(server, name), every=0.3))
    with migrated_database(postgres_url) as url:
        own = settings.model_copy(update={"database_url": url, "redis_url": "none"})
        async with (
            serving(own) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            await psycopg.AsyncConnection.connect(url, autocommit=True) as admin,
        ):
            health = health_pb2_grpc.HealthStub(channel)

            async def statuses() -> list[str]:
                answers = [
                    await health.Check(health_pb2.HealthCheckRequest(service=name))
                    for name in (server.RECORDS, server.DEFINITIONS, server.CACHE, "")
                ]
                return [_STATUS.Name(answer.status) for answer in answers]

            async def become(expected: list[str]) -> None:
                async with asyncio.timeout(30):
                    while await statuses() != expected:  # noqa: ASYNC110 - over gRPC
                        await asyncio.sleep(0.05)

            await become(["SERVING"] * 4)
            await admin.execute("ALTER TABLE task_records RENAME TO elsewhere")
            await become(["NOT_SERVING", "SERVING", "SERVING", "SERVING"])
            await admin.execute("ALTER TABLE elsewhere RENAME TO task_records")
            await admin.execute("ALTER TABLE data_cache RENAME TO elsewhere")
            await become(["SERVING", "SERVING", "NOT_SERVING", "SERVING"])
            await admin.execute("ALTER TABLE elsewhere RENAME TO data_cache")
            await admin.execute("ALTER TABLE idempotency_keys RENAME TO elsewhere")
            await become([*["NOT_SERVING"] * 3, "SERVING"])
            await admin.execute("ALTER TABLE elsewhere RENAME TO idempotency_keys")
            await become(["SERVING"] * 4)


@pytest.fixture
async def stores(database_url: str, committer: Committer) -> AsyncIterator[tuple[Pool, Committer]]:
    database = Database(database_url, connections=18, statement_timeout=5.0)
    yield database.duties, committer
    await database.close()


class _Flaky:
    """A duty of one tenant's, whose work goes as the test says."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.done = 0

    async def work(self, turn: Turn) -> None:
        if self.fails is not None:
            raise self.fails
        await turn.run(self._one)

    async def _one(self, *_: object) -> None:
        self.done += 1


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("OUTCOME_UNKNOWN", "the store left"),
        TypeError("can't compare offset-naive and offset-aware datetimes"),
        TimeoutError(),
    ],
    ids=repr,
)
async def test_whatever_a_duty_raises_it_goes_on(
    stores: tuple[Pool, Committer], failure: Exception
) -> None:
    flaky = _Flaky()
    duty = Duty("flaky", 0.01, sa.text("SELECT 'nobody' AS tenant"), flaky.work)
    duties = Duties(*stores, [duty])
    following = asyncio.create_task(duties.run())
    condition = duties.conditions["flaky"]
    try:
        await _comes(lambda: flaky.done > 0)
        flaky.fails = failure
        await _comes(lambda: condition.failures > 1)
        assert condition.is_failing is isinstance(failure, Unavailable)
        assert duties.problem(["flaky"], 0) == (
            "failing: flaky" if isinstance(failure, Unavailable) else None
        )
        flaky.fails, done = None, flaky.done
        await _comes(lambda: flaky.done > done and not condition.is_failing)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def test_a_duty_whose_turn_failed_looks_again_soon(
    stores: tuple[Pool, Committer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its service would be out of service until the next look, a minute after the outage."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    flaky = _Flaky()
    flaky.fails = Unavailable("STORE_AWAY", "the store left")
    duty = Duty("flaky", 3600, sa.text("SELECT 'nobody' AS tenant"), flaky.work)
    duties = Duties(*stores, [duty])
    following = asyncio.create_task(duties.run())
    try:
        await _comes(lambda: duties.conditions["flaky"].failures > 1)
        flaky.fails = None
        await _comes(lambda: flaky.done > 0 and duties.problem(["flaky"], 0) is None)
    finally:
        following.cancel()
        await asyncio.wait([following])


@pytest.mark.parametrize(("slow", "troubled"), [(2, False), (4, True)])
async def test_turns_that_last_leave_a_place_to_others(
    stores: tuple[Pool, Committer], slow: int, troubled: bool
) -> None:
    """All tenants whose last turn failed have one between them."""
    failed: set[str] = set()
    lasting = done = 0

    async def work(turn: Turn) -> None:
        nonlocal lasting, done
        if turn.tenant == "quick":
            done += 1
        elif troubled and turn.tenant not in failed:
            failed.add(turn.tenant)
            raise TypeError
        else:
            lasting += 1
            await asyncio.Event().wait()

    names = ", ".join(f"('slow-{n}')" for n in range(slow))
    tenants = sa.text(f"SELECT * FROM (VALUES ('quick'), {names}) AS t (tenant)")
    duties = Duties(*stores, [Duty("lasting", 0.01, tenants, work)])
    following = asyncio.create_task(duties.run())
    try:
        await _comes(lambda: lasting >= (1 if troubled else slow))
        before = done
        await _comes(lambda: done > before + 3)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def test_what_is_urgent_does_not_stand_in_line(stores: tuple[Pool, Committer]) -> None:
    """Runs of dead executors are found while rows that nobody can see are being removed."""
    done = Counter[str]()
    goes_on = asyncio.Event()

    async def work(name: str, turn: Turn) -> None:
        async def count(_tx: Transaction, _effects: Effects) -> None:
            done[name] += 1
            if name == "lasting":
                await goes_on.wait()

        await turn.run(count)

    some = sa.text("SELECT 'somebody' AS tenant")
    duties = Duties(
        *stores,
        [
            Duty("lasting", 3600, some, partial(work, "lasting")),
            Duty("waiting", 0.01, some, partial(work, "waiting")),
            Duty("urgent", 0.01, some, partial(work, "urgent"), urgent=True),
        ],
    )
    following = asyncio.create_task(duties.run())
    try:
        await _comes(lambda: done["lasting"] == 1)
        urgent, waiting = done["urgent"], done["waiting"]
        await _comes(lambda: done["urgent"] > urgent + 3)
        assert done["waiting"] == waiting
        goes_on.set()
        await _comes(lambda: done["waiting"] > waiting)
    finally:
        following.cancel()
        await asyncio.wait([following])


def test_many_rows_that_fail_are_the_duty_s_trouble_unless_one_goes_well() -> None:
    condition = Condition()
    for n in range(ROWS_IN_A_ROW - 1):
        assert condition.row_failed("t", f"r{n}")
        assert not condition.row_failed("t", f"r{n}")  # no news
    assert condition.failing_seconds == 0
    condition.row_failed("t", "last")
    assert condition.failing_seconds > 0
    condition.went_well()
    condition.row_failed("t", "r0")
    assert condition.failing_seconds == 0
    assert condition.failures == 2 * ROWS_IN_A_ROW
