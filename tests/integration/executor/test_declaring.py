"""What an executor is told before it works, and says at once if it cannot be."""

from collections.abc import Callable

import pytest

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
