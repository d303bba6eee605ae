"""What an executor is told before it works, and says at once if it cannot be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.waiting import until_true
from vwed.client import Executor, InvalidArgument, Run
from vwed_grpc.domain.lifecycle import RUNNING


@pytest.mark.parametrize(
    ("declare", "what"),
    [
        (lambda: Executor("nowhere", "AMB-01", lease=0.5), "lease"),
        (lambda: Executor("nowhere", "AMB-01", concurrency=0), "run at a time"),
        (lambda: Executor("nowhere", "AMB-01").task(statuses=[RUNNING]), "statuses"),
        (lambda: Executor("nowhere", "AMB-01").task(kinds=["transport"]), "kinds"),
    ],
    ids=["lease", "concurrency", "statuses", "no such field"],
)
def test_what_cannot_be_is_refused(declare: Callable[[], object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        declare()


def test_a_text_is_not_taken_for_the_list_of_its_letters() -> None:
    with pytest.raises(TypeError, match=r"task_types is a list: task_types=\['transport'\]"):
        Executor("nowhere", "AMB-01").task(task_types="transport")


async def test_a_service_that_is_not_there_is_said_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = Executor("127.0.0.1:1", "AMB-01")

    @executor.task()
    async def transport(_: Run) -> None:
        pass

    serving = asyncio.create_task(executor.serve())
    await until_true(lambda: "Connection refused" in caplog.text)
    assert "the service has failed for 0 s: UNAVAILABLE" in caplog.text
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def test_an_executor_without_a_task_does_not_begin(executor: Executor) -> None:
    with pytest.raises(ValueError, match="task"):
        await executor.serve()


async def test_what_the_service_refuses_for_good_is_raised(target: str, tenant: str) -> None:
    executor = Executor(target, "no id", tenant=tenant)

    @executor.task(task_types=["transport"])
    async def transport(_: Run) -> None:
        pass

    with pytest.raises(InvalidArgument) as refusal:
        await executor.serve()
    assert "executor_id" in refusal.value.fields
