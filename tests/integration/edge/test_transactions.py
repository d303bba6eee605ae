"""A transaction of the service: the driver's and the session's statements are one, or nothing."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from tests.support.waiting import PATIENCE, until_true
from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.storage import pool as pools
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.errors import sqlstate
from vwed_grpc.storage.pool import Pool, ReadingPool
from vwed_grpc.storage.statement import Statement, Together
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects

_MADE = Statement("SELECT count(*) AS made FROM idempotency_keys WHERE tenant = :tenant")
_MAKE = """
    INSERT INTO idempotency_keys
           (tenant, request_id, method, fingerprint, resource_ids, expire_time)
    VALUES (:tenant, :id, 'm', '', '{}', now() + interval '1 day')
"""

_CONFLICT = "DO $$ BEGIN RAISE EXCEPTION 'a conflict' USING ERRCODE = '40001'; END $$"


async def made(pool: ReadingPool, tenant: str) -> int:
    return int((await pool.fetch(_MADE, {"tenant": tenant}))[0].made)


async def make(tx: Transaction, tenant: str, id_: str) -> None:
    await tx.session.execute(sa.text(_MAKE), {"tenant": tenant, "id": id_})


async def test_driver_and_session_see_each_other_and_commit_together(
    pool: ReadingPool, tenant: str
) -> None:
    async def work(tx: Transaction) -> int:
        await make(tx, tenant, "1")
        await tx.fetch(Statement(_MAKE), {"tenant": tenant, "id": "2"})
        found = await tx.session.execute(
            sa.text("SELECT count(*) FROM idempotency_keys WHERE tenant = :t"), {"t": tenant}
        )
        assert await made(pool, tenant) == 0  # others see nothing yet
        return int(found.scalar_one())

    assert await pool.run(work, commit=False) == 2
    assert await made(pool, tenant) == 0
    assert await pool.run(work) == 2
    assert await made(pool, tenant) == 2


async def test_what_fails_leaves_nothing_not_even_on_its_connection(
    pool: ReadingPool, tenant: str
) -> None:
    async def fails(tx: Transaction) -> None:
        await make(tx, tenant, "1")
        await tx.session.execute(sa.text("SELECT 1/0"))

    async def goes_well(tx: Transaction) -> None:
        await make(tx, tenant, "2")

    with pytest.raises(DBAPIError) as failure:
        await pool.run(fails)
    assert sqlstate(failure.value) == "22012"
    await pool.run(goes_well)
    assert await made(pool, tenant) == 1


async def test_who_is_cancelled_leaves_nothing_either(pool: ReadingPool, tenant: str) -> None:
    async def hangs(tx: Transaction) -> None:
        await make(tx, tenant, "1")
        await tx.session.execute(sa.text("SELECT pg_sleep(60)"))

    async def goes_well(tx: Transaction) -> None:
        await make(tx, tenant, "2")

    hanging = asyncio.create_task(pool.run(hangs))
    await asyncio.sleep(0.2)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await pool.run(goes_well)
    assert await made(pool, tenant) == 1


@pytest.mark.parametrize("again", [None, 0, 1, 2, 4])
async def test_whenever_one_is_cancelled_the_next_is_on_its_own(
    pool: ReadingPool, tenant: str, again: int | None
) -> None:
    """Once or twice, at any turn of the loop: while it begins, writes or is rolled back."""

    async def never_kept(tx: Transaction) -> None:
        await make(tx, tenant, "never")

    async def nothing(tx: Transaction) -> None:
        await tx.session.execute(sa.text("SELECT 1"))

    for turns in range(40):
        running = asyncio.create_task(pool.run(never_kept, commit=False))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        if again is not None:
            for _ in range(again):
                await asyncio.sleep(0)
            running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await pool.run(nothing)
        assert await made(pool, tenant) == 0


async def test_a_begin_that_was_answered_too_late_leaves_no_transaction(
    database_url: str, tenant: str
) -> None:
    hasty = ReadingPool(Connector(database_url), connections=1, reads=1, statement_timeout=0.5)

    async def its_pid(tx: Transaction) -> int:
        return int((await tx.session.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one())

    async def goes_well(tx: Transaction) -> None:
        await make(tx, tenant, "1")

    pid = await hasty.run(its_pid)
    try:
        os.kill(pid, signal.SIGSTOP)
    except OSError:
        pytest.skip("the given PostgreSQL's processes are not ours to stop")
    try:
        with pytest.raises(Unavailable):
            await hasty.run(goes_well)
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(0.2)
    await hasty.run(goes_well)
    state = await hasty.select(
        sa.text("SELECT state FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}
    )
    assert "transaction" not in str(state)
    assert await made(hasty, tenant) == 1
    await hasty.close()


async def test_after_a_restart_the_first_write_goes_well(database_url: str, tenant: str) -> None:
    """All pooled connections are dead then: none of them costs a try."""
    pool = ReadingPool(Connector(database_url), connections=30, reads=2)
    everybody = asyncio.Barrier(20)

    async def its_pid(tx: Transaction) -> int:
        found = await tx.session.execute(sa.text("SELECT pg_backend_pid()"))
        await everybody.wait()
        return int(found.scalar_one())

    pids = await asyncio.gather(*(pool.run(its_pid) for _ in range(20)))
    await pool.select(
        sa.text("SELECT pg_terminate_backend(p) FROM unnest(CAST(:pids AS int[])) p"
                " WHERE p <> pg_backend_pid()"), {"pids": [*pids]}
    )  # fmt: skip
    alive = sa.text("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(CAST(:pids AS int[]))"
                    " AND pid <> pg_backend_pid()")  # fmt: skip

    async def are_gone() -> bool:
        return not await pool.select(alive, {"pids": [*pids]})

    await until_true(are_gone)
    await asyncio.sleep(0.1)  # the loop hears of it

    async def goes_well(tx: Transaction) -> None:
        await make(tx, tenant, "1")

    await pool.run(goes_well, lambda: 0.0)
    assert await made(pool, tenant) == 1
    await pool.close()


async def test_an_error_that_was_passed_over_is_not_taken_for_a_commit(
    pool: ReadingPool, tenant: str
) -> None:
    """PostgreSQL answers the COMMIT of a failed transaction without an error."""

    async def passes_over(tx: Transaction) -> None:
        await make(tx, tenant, "1")
        with pytest.raises(DBAPIError):
            await tx.session.execute(sa.text("SELECT 1/0"))

    with pytest.raises(RuntimeError, match="passed over"):
        await pool.run(passes_over)
    assert await made(pool, tenant) == 0


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_conflict_is_tried_again_while_its_caller_waits(
    pool: ReadingPool, committer: Committer, tenant: str, leaves: bool
) -> None:
    """Who has left may have asked elsewhere since."""
    begun, goes_on = asyncio.Event(), asyncio.Event()
    tries = 0

    async def work(tx: Transaction, _: Effects) -> None:
        nonlocal tries
        tries += 1
        begun.set()
        await goes_on.wait()
        if tries == 1:
            await tx.session.execute(sa.text(_CONFLICT))
        await make(tx, tenant, "1")

    writing = asyncio.create_task(committer.run(pool, work))
    await begun.wait()
    if leaves:
        writing.cancel()
        await asyncio.wait([writing])
    goes_on.set()
    await committer.settle(PATIENCE)
    assert (tries, await made(pool, tenant)) == ((1, 0) if leaves else (2, 1))


async def test_statements_together_are_one_and_keep_their_parameters(
    pool: ReadingPool, tenant: str
) -> None:
    one = Statement(_MAKE)
    gone = Statement("DELETE FROM idempotency_keys WHERE tenant = :tenant AND request_id = :id")

    async def work(tx: Transaction) -> None:
        await make(tx, tenant, "old")
        await tx.together(
            Together(gone, one, one),
            {"tenant": tenant, "id": "old"},
            {"tenant": tenant, "id": "new"},
            {"tenant": tenant, "id": "newer"},
        )

    await pool.run(work)
    found = await pool.select(
        sa.text("SELECT request_id FROM idempotency_keys WHERE tenant = :t ORDER BY 1"),
        {"t": tenant},
    )
    assert [row.request_id for row in found] == ["new", "newer"]


async def test_a_connection_is_replaced_when_it_is_old(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def backends() -> set[int]:
        """Of three transactions, one after the other."""
        pool = Pool(Connector(database_url), connections=1)
        try:
            return {await pool.run(_backend) for _ in range(3)}
        finally:
            await pool.close()

    assert len(await backends()) == 1
    monkeypatch.setattr(pools, "LIFE_SECONDS", 0)
    assert len(await backends()) == 3


async def _backend(tx: Transaction) -> int:
    return int((await tx.session.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one())
