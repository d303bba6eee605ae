"""When the data becomes another, nothing that was read of the old one serves who comes next."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.steps import running
from vwed.client import Client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.seal import Seal
from vwed_grpc.loop.pacing import Pace
from vwed_grpc.storage import pulse
from vwed_grpc.storage.database import Database
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.wakeups import Wakeups


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, connections=8, statement_timeout=5.0)
    await pulse.beat(database.probe)
    yield database
    await database.close()


async def test_who_leaves_late_and_who_comes_at_once_share_no_log(
    database: Database, client: Client, tenant: str
) -> None:
    await running(client)
    keys = KeySpace(GENERATION, "old")
    catch_up = CatchUp(Pace(lambda: False))
    logs = TailedLogs(
        database, Wakeups(None, Seal(b"a key")), keys, catch_up, observe_lag=lambda _: None
    )
    with logs.of(tenant) as late:
        with late.tail() as (tail, _):
            await tail.marked(1)
            logs.begin_anew()
            with logs.of(tenant) as new:
                assert new is not late
        with logs.of(tenant) as newer:
            pass
    assert newer is not late
    with logs.of(tenant) as last, last.tail() as (tail, _):
        assert (await tail.marked(1)).number == 1


async def test_what_was_read_is_not_told_to_others_any_more() -> None:
    catch_up, answers = CatchUp(Pace(lambda: False)), iter(["kept", "under way", "new", "newer"])
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def read() -> str:
        answer = next(answers)
        if answer == "under way":
            begun.set()
            await goes_on.wait()
        return answer

    async def ask(key: str) -> str:
        return await catch_up.ask("t", key, read, len)

    assert [await ask("a"), await ask("a")] == ["kept", "kept"]
    slow = asyncio.create_task(ask("b"))
    await begun.wait()
    catch_up.forget()
    goes_on.set()
    assert await slow == "under way"
    assert [await ask("b"), await ask("b"), await ask("a")] == ["new", "new", "newer"]
