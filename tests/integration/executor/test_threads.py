"""Rule 12: a task that blocks runs in a thread, and is driven by the same rules."""

import threading

import pytest
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
    SignalTaskRecordRequest,
)

from tests.support.executors import (
    TASK_TYPE,
    at_work,
    content,
    order,
    story,
    until_renewed,
    until_told,
)
from tests.support.steps import blocks_of, until
from tests.support.waiting import PATIENCE
from vwed.client import BlockFailed, Client, Executor, RunStopped, StopReason
from vwed.client.executor import BlockingRun
from vwed_grpc.domain.lifecycle import CANCELED, FAILED, PAUSED, SUCCEEDED


async def test_blocks_attempts_and_the_cache_without_await(
    client: Client, executor: Executor
) -> None:
    @executor.task(task_types=[TASK_TYPE])
    def transport(run: BlockingRun) -> dict[str, object]:
        for step in run.blocks:
            for attempt in run.attempts(step, 2):
                with attempt as block:
                    block.progress(0.5, "halfway")
                    run.cache.increment("n")
                    run.cache.set("last", step.id)
                    run.message = f"at {step.id}"
                    block.output = {"attempt": block.attempt}
                    if step.id == "a" and block.attempt == 1:
                        raise BlockFailed("BLOCKED", "pallet in the way")
        with run.block("extra", "scan", inputs={"code": "X1"}):
            run.checkpoint()
        last = run.cache.get("last")
        run.cache.delete("last")
        gone = run.cache.get("last")
        told = {"last": last, "gone": gone, "message": run.message}
        return {"n": run.cache.get("n"), "to": run.input["to"], **told}

    done = await executor.run_once(await order(client, "a", "b", input={"to": "P-07"}))
    assert done.status == SUCCEEDED, done.error_message
    told = {"last": "b", "gone": None, "message": "at b"}
    assert content(done.result) == {"n": 3, "to": "P-07", **told}
    assert (await story(client, done.id))[2:] == [
        "a RUNNING",
        "a FAILED",
        "a#2 RUNNING",
        "a#2 SUCCEEDED",
        "b RUNNING",
        "b SUCCEEDED",
        "extra RUNNING",
        "extra SUCCEEDED",
        "SUCCEEDED",
    ]
    outputs = [content(block.output_data) for block in await blocks_of(client, done.id)]
    assert outputs == [{"attempt": 1}, {"attempt": 2}, {"attempt": 1}, {}]


@pytest.mark.parametrize(
    ("exc", "error_code"), [(BlockFailed("JAMMED", ""), "JAMMED"), (KeyError("to"), "KeyError")]
)
async def test_its_exceptions_are_failures(
    client: Client, executor: Executor, exc: Exception, error_code: str
) -> None:
    @executor.task(task_types=[TASK_TYPE])
    def transport(_: BlockingRun) -> None:
        raise exc

    done = await executor.run_once(await order(client))
    assert (done.status, done.error_code) == (FAILED, error_code)


async def test_heartbeats_go_on_while_it_blocks(client: Client, target: str, tenant: str) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, lease=1, concurrency=2, grace=0)
    end = threading.Event()

    @executor.task(task_types=[TASK_TYPE])
    def transport(_: BlockingRun) -> None:
        assert end.wait(PATIENCE)

    async with at_work(executor):
        runs = [await order(client) for _ in range(2)]  # each in a thread of its own
        for run in runs:
            await until_renewed(client, run, times=1)
        end.set()
        for run in runs:
            await until(client, run, SUCCEEDED)


async def test_cancel_is_raised_at_the_next_call_of_the_run(
    client: Client, executor: Executor
) -> None:
    go, reasons = threading.Event(), list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    def transport(run: BlockingRun) -> None:
        with run.block("a", "move"):
            assert go.wait(PATIENCE)
        try:
            with run.block("b", "move"):
                pytest.fail("it must not begin")
        except RunStopped:
            reasons.append(run.stop_reason)
            raise

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run))
        await until_told(client, run, "CANCELING")
        go.set()
        await until(client, run, CANCELED)
    assert reasons == [StopReason.CANCELED]
    assert (await story(client, run))[2:] == [
        "a RUNNING",
        "CANCELING",
        "a SUCCEEDED",
        "CANCELED",
    ]


async def test_cancel_wakes_who_waits_in_a_call_of_the_run(
    client: Client, executor: Executor
) -> None:
    @executor.task(task_types=[TASK_TYPE])
    def transport(run: BlockingRun) -> None:
        with run.block("a", "move"):
            for signal in run.signals():
                assert signal.name == "nothing"

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await client.records.SignalTaskRecord(SignalTaskRecordRequest(id=run, name="nothing"))
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run))
        await until(client, run, CANCELED)
    assert (await story(client, run))[-2:] == ["a CANCELED", "CANCELED"]


async def test_a_paused_run_stands_in_its_thread(client: Client, executor: Executor) -> None:
    go = threading.Event()

    @executor.task(task_types=[TASK_TYPE])
    def transport(run: BlockingRun) -> None:
        with run.block("a", "move"):
            assert go.wait(PATIENCE)
        with run.block("b", "move"):
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run))
        go.set()
        await until(client, run, PAUSED)
        assert "b RUNNING" not in await story(client, run)
        await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run))
        await until(client, run, SUCCEEDED)


async def test_told_to_stop_it_is_stopped_at_its_next_call(
    client: Client, executor: Executor
) -> None:
    stopped = list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    def transport(run: BlockingRun) -> None:
        try:
            while True:
                with run.block("a", "move"):
                    pass
        except RunStopped:
            stopped.append(run.stop_reason)
            raise

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
    assert stopped == [StopReason.RELEASED]
    assert (await story(client, run))[-1] == "INTERRUPTED"
