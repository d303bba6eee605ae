"""Two who write at the same time: never both, where one would take the ground from the other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from vwed.v1.cache_service_pb2 import (
    BatchSetDataCacheRequest,
    IncrementDataCacheRequest,
    SetDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import RetryTaskRecordRequest

from tests.integration.runs.test_runs_cancel import cancel
from tests.integration.runs.test_runs_delete import delete
from tests.integration.runs.test_runs_prune import prune
from tests.support.aging import age, ended, rows_of
from tests.support.calls import finish_run, set_entry
from tests.support.steps import create, get, sql
from vwed.client import Client
from vwed_grpc.domain.lifecycle import CANCELED, FAILED, FINAL

TRIES = 15


async def both(*calls: Awaitable[Any]) -> list[bool]:
    """Whether each went well; a race may be lost, but in no other way."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, grpc.aio.AioRpcError):
            assert answer.code() in {
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.FAILED_PRECONDITION,
            }, answer
        elif isinstance(answer, BaseException):
            raise answer
    return [not isinstance(answer, BaseException) for answer in answers]


def entry(run: str, key: str) -> SetDataCacheRequest:
    return SetDataCacheRequest(data_cache=DataCache(task_record_id=run, key=key, int_value=1))


async def _set(client: Client, run: str, key: str) -> None:
    await client.cache.SetDataCache(entry(run, key))


async def _set_if_absent(client: Client, run: str, key: str) -> None:
    request = entry(run, key)
    request.if_absent = True
    await client.cache.SetDataCache(request)


async def _batch(client: Client, run: str, key: str) -> None:
    await client.cache.BatchSetDataCache(
        BatchSetDataCacheRequest(task_record_id=run, requests=[entry("", key), entry("", "z")])
    )


async def _increment(client: Client, run: str, key: str) -> None:
    await client.cache.IncrementDataCache(
        IncrementDataCacheRequest(task_record_id=run, key=key, int_delta=1)
    )


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("write", [_set, _set_if_absent, _batch, _increment])
async def test_no_entry_outlives_its_run(
    client: Client,
    database_url: str,
    write: Callable[[Client, str, str], Awaitable[None]],
    there: bool,
) -> None:
    if there and write is _set_if_absent:
        return
    task_def_id = (await ended(client)).task_def_id
    for _ in range(TRIES):
        run = (await create(client, task_def_id)).id
        if there:
            await set_entry(client, run, "k", int_value=1)
        await both(
            *(write(client, run, f"k{n or ''}") for n in range(4)),
            delete(client, run, force=True),
            *(write(client, run, f"k{n}") for n in range(4, 8)),
        )
        assert set((await rows_of(database_url, run)).values()) == {0}


async def test_no_run_is_made_below_one_that_goes(client: Client) -> None:
    task_def_id = (await ended(client)).task_def_id
    for _ in range(TRIES):
        parent = (await create(client, task_def_id)).id
        await finish_run(client, parent, FAILED)
        ids = [f"{parent}.{n}" for n in range(4)]
        *created, deleted = await both(
            *(create(client, task_def_id, id=i, parent_task_record_id=parent) for i in ids),
            delete(client, parent),
        )
        assert not (deleted and any(created))
        assert deleted or all(created)


async def test_what_is_made_while_its_parent_goes_by_force_has_moved(client: Client) -> None:
    task_def_id = (await ended(client)).task_def_id
    for _ in range(TRIES):
        parent = (await create(client, task_def_id)).id
        child = (await create(client, task_def_id, parent_task_record_id=parent)).id
        ids = [f"{parent}.{n}" for n in range(4)]
        *created, deleted = await both(
            *(
                create(client, task_def_id, id=i, parent_task_record_id=(child, parent)[n % 2])
                for n, i in enumerate(ids)
            ),
            delete(client, parent, force=True),
        )
        assert deleted
        for n, (id_, made) in enumerate(zip(ids, created, strict=True)):
            if made:
                run = await get(client, id_)
                above = "" if n % 2 else child
                assert run.parent_task_record_id == above
                assert run.root_task_record_id == (above or id_)


@pytest.mark.parametrize("mode", [1, 2])
async def test_a_chain_has_one_open_retry(
    client: Client, mode: RetryTaskRecordRequest.Mode.ValueType
) -> None:
    first = await ended(client, FAILED)

    async def retry(run: str) -> str:
        request = RetryTaskRecordRequest(id=run, mode=mode)
        return (await client.records.RetryTaskRecord(request)).id

    chain = [first.id]
    for _ in range(6):
        answers = await asyncio.gather(*map(retry, chain), return_exceptions=True)
        (made,) = [answer for answer in answers if isinstance(answer, str)]
        for answer in answers:
            if isinstance(answer, grpc.aio.AioRpcError):
                assert answer.code() is grpc.StatusCode.FAILED_PRECONDITION
        await finish_run(client, made, FAILED)
        chain.append(made)


async def test_nothing_is_pruned_from_under_what_is_made(
    client: Client, database_url: str, tenant: str
) -> None:
    task_def_id = (await ended(client)).task_def_id
    for n in range(TRIES):
        run = (await create(client, task_def_id)).id
        await finish_run(client, run, FAILED)
        await age(database_url, tenant, run, 5)
        if n % 2:
            making: Awaitable[Any] = create(client, task_def_id, parent_task_record_id=run)
        else:
            making = client.records.RetryTaskRecord(RetryTaskRecordRequest(id=run))
        made, _ = await both(making, prune(client, 3))
        left = await sql(database_url, "SELECT 1 FROM task_records WHERE id = :id", id=run)
        assert bool(left) == made


async def test_a_cascade_leaves_none_open_that_was_made_before_it(client: Client) -> None:
    """What is made below a run that is already canceled is another matter."""
    task_def_id = (await ended(client)).task_def_id
    for _ in range(TRIES):
        top = (await create(client, task_def_id)).id
        middle = (await create(client, task_def_id, parent_task_record_id=top)).id
        await finish_run(client, middle, FAILED)

        async def make(n: int, top: str = top, middle: str = middle) -> str | None:
            id_ = f"{top}.{n}"
            await create(client, task_def_id, id=id_, parent_task_record_id=middle)
            # Acknowledged while the top was open: so it came before the cascade.
            return id_ if (await get(client, top, strong=True)).status not in FINAL else None

        *made, _ = await asyncio.gather(
            *(make(n) for n in range(6)), cancel(client, top, cascade=True)
        )
        for id_ in made:
            if isinstance(id_, str):
                assert (await get(client, id_)).status == CANCELED
