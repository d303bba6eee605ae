import asyncio
from collections.abc import Callable
from copy import deepcopy
from itertools import cycle, islice
from uuid import uuid4

from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, RetryTaskRecordRequest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client import Client, Executor, watch_run
from vwed_grpc.demo import examples
from vwed_grpc.demo.robot import employ
from vwed_grpc.domain import lifecycle
from vwed_grpc.views.words import run_status

_SESSION_LABEL = "demo.session"
"""Robots take the runs of their own demo alone, and nobody else's by mistake."""

Hire = Callable[[str], Executor]
Spectator = Callable[[TaskRecordEvent], None]


class UnexpectedEnd(Exception):
    """A run ended otherwise than its definition says."""


async def play(
    client: Client, hire: Hire, spectator: Spectator, *, runs: int, robots: int, speed: float
) -> None:
    """Make runs of the examples, let robots work through them, and watch all of it.

    `hire` makes the executor that a robot of this id has. Returns when every run has ended as it
    should; raises UnexpectedEnd, or `CallError` if the server stays away or refuses.
    """
    labels = {_SESSION_LABEL: uuid4().hex}
    definitions = await examples.stored(client)
    try:
        async with asyncio.TaskGroup() as fleet:
            workers = []
            for number in range(1, robots + 1):
                executor = hire(robot_id := f"AMB-{number:02}")
                employ(executor, robot_id, labels=labels, speed=speed)
                workers.append(fleet.create_task(executor.serve()))
            async with asyncio.TaskGroup() as watches:
                for example in islice(cycle(examples.runs()), runs):
                    request = deepcopy(example)
                    request.task_record.labels.update(labels)
                    fault = examples.fault(definitions[request.task_record.task_def_id])
                    watches.create_task(_follow(client, request, fault, spectator))
            for worker in workers:
                worker.cancel()
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


async def _follow(
    client: Client, request: CreateTaskRecordRequest, fault: str | None, spectator: Spectator
) -> None:
    run = await client.records.CreateTaskRecord(request)
    run = await _watch(client, run, spectator)
    if fault:
        _expect(run, lifecycle.FAILED, fault)
        run = await client.records.RetryTaskRecord(
            RetryTaskRecordRequest(id=run.id, reason="the pallet was straightened")
        )
        run = await _watch(client, run, spectator)
    _expect(run, lifecycle.SUCCEEDED)


async def _watch(client: Client, run: TaskRecord, spectator: Spectator) -> TaskRecord:
    """The run as its last event has it."""
    async for event in watch_run(client, run.id, after_seq=0):
        spectator(event)
        if event.HasField("task_record"):
            run = event.task_record
    return run


def _expect(run: TaskRecord, status: TaskRecordStatus.ValueType, error_code: str = "") -> None:
    if run.status != status or run.error_code != error_code:
        why = " ".join(filter(None, [run.error_code, run.error_message, run.status_reason]))
        ended = f"run {run.id} ({run.task_def_name}) ended {run_status(run)}"
        raise UnexpectedEnd(f"{ended}: {why}" if why else ended)


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
