"""How a task's code ends is how its run ends."""

import asyncio
import logging
from typing import Any

import pytest

from tests.support.executors import TASK_TYPE, at_work, content, order, story
from tests.support.steps import create, define, start, until
from vwed.client import BlockFailed, Client, Executor, NotFound, Run, RunTaken
from vwed_grpc.domain.lifecycle import FAILED, SUCCEEDED

LONG = "x" * 100_000


class Unforeseen(Exception):
    pass


LongName = type("L" * 100, (Exception,), {})


async def test_what_is_returned_is_the_result(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> dict[str, object]:
        return {"to": run.input["to"], "blocks": [step.id for step in run.blocks]}

    async with at_work(executor):
        run = await order(client, "a", "b", input={"to": "P-07"})
        done = await until(client, run, SUCCEEDED)
    assert content(done.result) == {"to": "P-07", "blocks": ["a", "b"]}
    assert done.executor_id == "AMB-01"


async def test_nothing_is_a_result_too(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        pass

    done = await executor.run_once(await order(client))
    assert (done.status, content(done.result)) == (SUCCEEDED, {})


@pytest.mark.parametrize(
    ("exc", "error_code", "error_message"),
    [
        (BlockFailed("BLOCKED", "pallet in the way"), "BLOCKED", "pallet in the way"),
        (Unforeseen("no such station"), "Unforeseen", "no such station"),
        (LongName(), "L" * 64, ""),
        (
            ExceptionGroup("two branches", [Unforeseen("a"), BlockFailed("BLOCKED", "in the way")]),
            "BLOCKED",
            "in the way",
        ),
        (ExceptionGroup("two branches", [Unforeseen("a"), KeyError("b")]), "Unforeseen", "a"),
        # No text that the service takes.
        (Unforeseen("a\0b"), "Unforeseen", "a�b"),
        (Unforeseen("a\udcffb"), "Unforeseen", "a?b"),
        (Unforeseen(LONG), "Unforeseen", LONG[: 16 << 10]),
    ],
    ids=[
        "BlockFailed",
        "exception",
        "long name",
        "group with a BlockFailed",
        "group",
        "NUL",
        "surrogate",
        "long",
    ],
)
async def test_an_exception_is_a_failure(
    client: Client,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    exc: Exception,
    error_code: str,
    error_message: str,
) -> None:
    # Workers of the tests cannot pass on a log that is no text.
    monkeypatch.setattr(logging.getLogger("vwed.executor"), "disabled", True)

    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        raise exc

    done = await executor.run_once(await order(client))
    assert (done.status, done.error_code, done.error_message) == (
        FAILED,
        error_code,
        error_message,
    )


async def test_an_unforeseen_exception_is_logged_with_its_traceback(
    client: Client, executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        raise Unforeseen("no such station")

    run = await order(client)
    await executor.run_once(run)
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert run in logged.getMessage()
    assert logged.exc_info is not None
    assert isinstance(logged.exc_info[1], Unforeseen)


@pytest.mark.parametrize(
    "result", [{"when": object()}, {"rate": float("nan")}, {"log": "x" * (1 << 20)}, ["a list"]]
)
async def test_a_result_that_is_none_is_a_failure(
    client: Client, executor: Executor, result: object
) -> None:
    """The run must not be stuck with it."""

    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> Any:
        return result

    done = await executor.run_once(await order(client))
    assert done.status == FAILED
    assert done.error_code
    assert done.error_message


async def test_the_runs_beside_a_failure_go_on(client: Client, target: str, tenant: str) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, concurrency=2, grace=0)
    failed = asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        if run.input["fails"]:
            raise Unforeseen
        await failed.wait()

    async with at_work(executor):
        good = await order(client, input={"fails": False})
        await until(client, await order(client, input={"fails": True}), FAILED)
        failed.set()
        await until(client, good, SUCCEEDED)


async def test_one_run_for_a_script(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            pass

    run, other = [await order(client, "a") for _ in range(2)]
    done = await executor.run_once(run)
    assert (done.id, done.status) == (run, SUCCEEDED)
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "a RUNNING",
        "a SUCCEEDED",
        "SUCCEEDED",
    ]
    assert await story(client, other) == ["PENDING"]


async def test_one_run_for_a_script_goes_to_the_task_whose_filter_has_it(
    client: Client, executor: Executor
) -> None:
    done = list[str]()

    @executor.task(task_types=["another"])
    async def another(_: Run) -> None:
        done.append("another")

    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        done.append("transport")

    assert (await executor.run_once(await order(client))).status == SUCCEEDED
    assert done == ["transport"]
    nobodys = await create(client, (await define(client, task_type="nobody's")).id)
    with pytest.raises(LookupError, match=nobodys.id):
        await executor.run_once(nobodys.id)


async def test_one_run_that_is_refused(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        pytest.fail("it must not be driven")

    run = await order(client)
    await start(client, run, "another")
    with pytest.raises(RunTaken):
        await executor.run_once(run)
    with pytest.raises(NotFound):
        await executor.run_once("no-such-run")
