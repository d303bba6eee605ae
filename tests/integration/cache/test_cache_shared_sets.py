"""Sets of many callers share a commit, and nothing else."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.exc import DBAPIError
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import create_def, create_run, get_entry, set_entry
from tests.support.locks import locked
from tests.support.refusals import reason_of, refusal
from tests.support.sharing import gathered
from tests.support.steps import seconds
from tests.support.waiting import PATIENCE, until_true
from vwed.client import Client, connect
from vwed_grpc.storage import data_cache_put
from vwed_grpc.writes import entry_writer
from vwed_grpc.writes.commit import Committer


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One item a transaction of this process."""
    done: list[None] = []
    run = Committer.run

    async def counted(*args: object, **kwargs: object) -> object:
        done.append(None)
        return await run(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(Committer, "run", counted)
    return done


async def test_many_sets_take_few_commits(
    client: Client, tenant: str, run: str, database_url: str, commits: list[None]
) -> None:
    async with gathered(database_url, "data_cache", tenant, 100):
        calls = [
            asyncio.create_task(set_entry(client, run, f"k{n}", int_value=n)) for n in range(100)
        ]
    answers = await asyncio.gather(*calls)
    assert [answer.int_value for answer in answers] == list(range(100))
    assert len(commits) < 30
    for n in (0, 50, 99):
        assert await get_entry(client, run, f"k{n}") == answers[n]


async def test_sets_of_one_key_take_effect_one_after_the_other(client: Client, run: str) -> None:
    answers = await asyncio.gather(*(set_entry(client, run, "k", int_value=n) for n in range(50)))
    assert len({answer.version for answer in answers}) == 50
    assert len({answer.id for answer in answers}) == 1
    assert await get_entry(client, run, "k") == max(answers, key=lambda answer: answer.version)


async def test_large_sets_share_as_well(client: Client, run: str) -> None:
    value = bytes(600_000)
    answers = await asyncio.gather(
        *(set_entry(client, run, f"k{n}", bytes_value=value) for n in range(20))
    )
    assert [answer.key for answer in answers] == [f"k{n}" for n in range(20)]


async def test_a_refused_set_does_not_concern_the_others(client: Client, run: str) -> None:
    missing = [refusal(set_entry(client, "no-such-run", "a", int_value=1)) for _ in range(5)]
    past = Timestamp(seconds=1)
    late = [refusal(set_entry(client, run, "a", int_value=1, expire_time=past)) for _ in range(5)]
    empty = [refusal(set_entry(client, run, "a")) for _ in range(5)]
    good = [set_entry(client, run, f"k{n}", int_value=n) for n in range(30)]
    refused = await asyncio.gather(*missing, *late, *empty)
    answers = await asyncio.gather(*good)
    assert [r.code for r in refused] == ["NOT_FOUND"] * 5 + ["INVALID_ARGUMENT"] * 10
    assert {r.fields[0] for r in refused[5:10]} == {"expire_time"}
    assert {r.fields[0] for r in refused[10:]} == {"data_cache.value"}
    assert [answer.int_value for answer in answers] == list(range(30))


async def test_who_waits_for_a_lock_holds_nobody_up(
    client: Client, database_url: str, run: str
) -> None:
    await set_entry(client, run, "locked", int_value=0)
    async with locked(database_url, "data_cache", "task_record_id", run):
        waiting = [
            asyncio.create_task(set_entry(client, run, "locked", int_value=n)) for n in (1, 2)
        ]
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                await asyncio.gather(
                    *(set_entry(client, run, f"k{n}", int_value=n) for n in range(20))
                )
        assert not any(task.done() for task in waiting)
    answers: list[DataCache] = await asyncio.gather(*waiting)
    last = max(answers, key=lambda answer: answer.version)
    assert await get_entry(client, run, "locked") == last


async def test_a_caller_who_leaves_holds_nobody_up(client: Client, run: str) -> None:
    calls = [asyncio.create_task(set_entry(client, run, f"k{n}", int_value=n)) for n in range(40)]
    await asyncio.sleep(0.005)
    for call in calls[::2]:
        call.cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, DataCache) for answer in done[1::2])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await set_entry(client, run, "k", int_value=1, ttl=seconds(-1))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_later_try_leaves_out_who_has_left(
    client: Client, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That caller may have set the key elsewhere by then, and been answered."""
    tries: list[list[str]] = []
    left = asyncio.Event()
    put = data_cache_put.put

    async def lose_the_first(tx: Any, tenant: str, asked: Any) -> Any:
        tries.append([one.entry.string_value for one in asked])
        if len(tries) == 1:
            await left.wait()
            raise DBAPIError(None, None, OSError(), connection_invalidated=True)
        return await put(tx, tenant, asked)

    await set_entry(client, run, "there", int_value=1)
    monkeypatch.setattr(entry_writer, "put", lose_the_first)
    first = asyncio.create_task(set_entry(client, run, "first", string_value="stays"))
    await until_true(lambda: tries)
    first.cancel()
    await get_entry(client, run, "there")  # later, on the same connection
    stays = asyncio.create_task(set_entry(client, run, "second", string_value="stays"))
    left.set()
    await stays
    assert tries[0] == ["stays"]
    assert (await refusal(get_entry(client, run, "first"))).code == "NOT_FOUND"


async def test_a_full_queue_is_waited_for_and_then_refused(
    client: Client, target: str, tenant: str, database_url: str, run: str
) -> None:
    """However many there are, a tenant's sets that wait hold a bounded memory."""
    await set_entry(client, run, "locked", int_value=0)
    value = bytes(1_000_000)
    async with connect(target, tenant=f"{tenant}-2", bare=True) as elsewhere:
        others = (await create_run(elsewhere, (await create_def(elsewhere)).id)).id
        async with locked(database_url, "data_cache", "task_record_id", run):
            held = [
                asyncio.create_task(set_entry(client, run, "locked", bytes_value=value))
                for _ in range(entry_writer.QUEUE_BYTES // len(value) + 1)
            ]
            free = SetDataCacheRequest(data_cache=DataCache(task_record_id=run, key="free"))
            free.data_cache.int_value = 1
            call = client.cache.SetDataCache
            async with asyncio.timeout(PATIENCE):
                while not (reason := await reason_of(call(free, timeout=2))):
                    pass  # what is held has not come in yet
            assert reason == "QUEUE_FULL"
            await set_entry(elsewhere, others, "k", int_value=1)
            waiting = call(free, timeout=60)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            for task in held:
                task.cancel()
            assert (await waiting).int_value == 1
    assert (await get_entry(client, run, "locked")).int_value == 0
