"""Rule 1: reports are ordered, batched, bounded, and repeated until they are answered."""

import asyncio
from collections import Counter

import pytest
from vwed.v1.record_service_pb2 import DeleteTaskRecordRequest

from tests.support.executors import (
    TASK_TYPE,
    MakeExecutor,
    at_work,
    order,
    stands,
    story,
    until_final,
    until_told,
)
from tests.support.proxy import Proxy
from tests.support.steps import blocks_of, get, history, until
from tests.support.waiting import until_true
from vwed.client import Client, Executor, Run
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import FAILED, SUCCEEDED

MOST = 10_000
"""Reports that may wait."""
A_REQUEST = 1_000
"""Reports that one request may have."""


async def test_reports_go_out_in_order_and_many_at_a_time(
    client: Client, executor: Executor
) -> None:
    count = 1_200

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        for n in range(count):
            async with run.block(f"b{n}", "move"):
                pass

    run = (await executor.run_once(await order(client))).id
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        *(f"b{n} {status}" for n in range(count) for status in ("RUNNING", "SUCCEEDED")),
        "SUCCEEDED",
    ]
    requests = {event.event_time.ToNanoseconds() for event in await history(client, run)}
    assert len(requests) < count / 10


async def test_requests_are_small_enough_for_the_service(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, went = behind_proxy(), asyncio.Event()
    photo, count = "x" * 500_000, 13

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        proxy.freeze()  # so that they gather
        for n in range(count):
            async with run.block(f"b{n}", "photo") as block:
                block.output = {"photo": photo}
        went.set()

    async with at_work(executor):
        run = await order(client)
        await went.wait()
        proxy.thaw()
        await until(client, run, SUCCEEDED)
    sizes = Counter[int]()  # by request: each has a time of its own
    for event in await history(client, run):
        if event.block_record.HasField("output_data"):
            assert event.block_record.output_data["photo"] == photo
            sizes[event.event_time.ToNanoseconds()] += len(photo)
    assert sum(sizes.values()) == count * len(photo)
    assert max(sizes.values()) < 3 << 20


async def test_a_full_buffer_makes_the_code_wait(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, entered, left = behind_proxy(), 0, asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        nonlocal entered
        proxy.freeze()
        try:
            while True:
                async with run.block(f"b{entered}", "move"):
                    entered += 1
        finally:
            left.set()

    async with at_work(executor):
        run = await order(client)
        reports = await stands(lambda: entered)  # one of each block: it ended before it was sent
        assert MOST - 2 <= reports <= MOST + A_REQUEST + 2
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))
        proxy.thaw()
        await left.wait()


async def test_reports_are_repeated_until_they_are_answered(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, count, entered = behind_proxy(), 60, 0

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        nonlocal entered
        for n in range(count):
            async with run.block(f"b{n}", "move"):
                entered += 1
                await asyncio.sleep(0.005)

    async def work_comes_to(number: int) -> None:
        await until_true(lambda: entered >= number)

    async with at_work(executor):
        run = await order(client)
        for n in (15, 30):
            await work_comes_to(n)
            proxy.hold_answers()
            await work_comes_to(n + 10)
            await proxy.cut()  # whatever the service has taken meanwhile, it could not say so
            proxy.thaw()
        await until(client, run, SUCCEEDED)
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        *(f"b{n} {status}" for n in range(count) for status in ("RUNNING", "SUCCEEDED")),
        "SUCCEEDED",
    ]


async def test_a_request_that_was_taken_may_be_repeated_whatever_it_says(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    """The service has the end of blocks whose beginning it is told again."""
    executor, go, went = behind_proxy(), asyncio.Event(), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("first", "move"):
            await go.wait()
        for n in range(3):
            async with run.block("loop", "each", iteration=str(n)) as loop:
                async with run.block("drive", "move", iteration=str(n)) as drive:
                    drive.progress(0.5)
                loop.progress(0.5)
        went.set()

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "first RUNNING")
        proxy.freeze()
        go.set()
        await went.wait()
        proxy.delay = 0.1  # what the service answers is on its way for so long
        proxy.thaw()
        await until_told(client, run, "loop/2 SUCCEEDED")
        await proxy.cut()
        proxy.delay = 0
        done = await until_final(client, run)
    assert done.status == SUCCEEDED, done.error_message
    assert sorted(await story(client, run)) == sorted(
        [
            *("PENDING", "RUNNING", "SUCCEEDED", "first RUNNING", "first SUCCEEDED"),
            *(
                f"{name}/{n} {status}"
                for name in ("loop", "drive")
                for n in range(3)
                for status in ("RUNNING", "SUCCEEDED")
            ),
        ]
    )


async def test_an_end_whose_answer_was_lost_is_repeated(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor = behind_proxy()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> dict[str, int]:
        proxy.hold_answers()
        return {"n": 1}

    async with at_work(executor):
        run = await order(client)
        await until(client, run, SUCCEEDED)
        await proxy.cut()
        proxy.thaw()
        # It has taken it for done: it takes another.
        another = await order(client)
        await until(client, another, SUCCEEDED)
        await proxy.cut()
        proxy.thaw()
    assert await story(client, run) == ["PENDING", "RUNNING", "SUCCEEDED"]


async def test_a_run_ends_after_its_last_report(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, ended = behind_proxy(), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        proxy.freeze()
        for n in range(3):
            async with run.block(f"b{n}", "move"):
                pass
        ended.set()

    async with at_work(executor):
        run = await order(client)
        await ended.wait()
        assert await story(client, run) == ["PENDING", "RUNNING"]
        proxy.thaw()
        await until(client, run, SUCCEEDED)
    assert [block.status for block in await blocks_of(client, run)] == [blocks.SUCCEEDED] * 3


@pytest.mark.parametrize("which", ["field", "state"])
async def test_a_refused_report_fails_the_run(
    client: Client, executor: Executor, which: str
) -> None:
    canceled = asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("before", "move"):
            pass
        bad = (
            run.block("bad", "move", name="x" * 201)
            if which == "field"
            else run.block("before", "move", attempt=1)  # which has ended
        )
        try:
            async with bad:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            canceled.set()
            raise

    async with at_work(executor):
        run = await order(client)
        done = await until(client, run, FAILED)
    assert canceled.is_set()
    assert done.error_code == "REPORT_REFUSED"
    if which == "field":
        assert "name" in done.error_message
    assert (await story(client, run))[2:4] == ["before RUNNING", "before SUCCEEDED"]
    assert (await get(client, run)).block_counts.succeeded == 1
