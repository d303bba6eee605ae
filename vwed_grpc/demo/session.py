import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from itertools import cycle, islice
from uuid import uuid4

import grpc
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, RetryTaskRecordRequest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client import Client, persist, watch_run
from vwed_grpc.demo import examples
from vwed_grpc.demo.execution import RETRY_LABEL
from vwed_grpc.demo.robot import Robot
from vwed_grpc.domain import lifecycle

_SESSION_LABEL = "demo.session"
"""Robots take the runs of their own demo alone, and nobody else's by mistake."""

Connect = Callable[[str], AbstractAsyncContextManager[Client]]
Spectator = Callable[[TaskRecordEvent], None]


class UnexpectedEnd(Exception):
    """A run ended otherwise than its definition says."""


async def play(
    connect: Connect, spectator: Spectator, *, runs: int, robots: int, speed: float
) -> None:
    """Make runs of the examples, let robots work through them, and watch all of it.

    `connect` makes clients, each for an actor.
    Returns when every run has ended as it should; raises UnexpectedEnd, or `grpc.aio.AioRpcError`
    if the server stays away or refuses.
    """
    labels = {_SESSION_LABEL: uuid4().hex}
    async with connect("demo") as client:
        definitions = await examples.load(client)
        try:
            async with asyncio.TaskGroup() as fleet:
                workers = [
                    fleet.create_task(_work(connect, f"AMB-{number:02}", labels, speed))
                    for number in range(1, robots + 1)
                ]
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


async def _work(connect: Connect, name: str, labels: dict[str, str], speed: float) -> None:
    async with connect(name) as client:
        await Robot(client, name, labels=labels, speed=speed).work()


async def _follow(
    client: Client, request: CreateTaskRecordRequest, fault: str | None, spectator: Spectator
) -> None:
    request.request_id = str(uuid4())
    run = await persist(client.records.CreateTaskRecord, request)
    run = await _watch(client, run, spectator)
    if fault:
        _expect(run, lifecycle.FAILED, fault)
        run = await _watch(client, await _retry(client, run, request), spectator)
    _expect(run, lifecycle.SUCCEEDED)


async def _watch(client: Client, run: TaskRecord, spectator: Spectator) -> TaskRecord:
    """The run as its last event has it."""
    async for event in watch_run(client, run.id, after_seq=0):
        spectator(event)
        if event.HasField("task_record"):
            run = event.task_record
    return run


async def _retry(
    client: Client, failed: TaskRecord, request: CreateTaskRecordRequest
) -> TaskRecord:
    retry = RetryTaskRecordRequest(
        id=failed.id, reason="the pallet was straightened", request_id=str(uuid4())
    )
    try:
        return await persist(client.records.RetryTaskRecord, retry)
    except grpc.aio.AioRpcError as exc:
        if exc.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
    again = CreateTaskRecordRequest()
    again.CopyFrom(request)
    again.task_record.labels[RETRY_LABEL] = failed.id
    again.request_id = retry.request_id
    again.reason = retry.reason
    return await persist(client.records.CreateTaskRecord, again)


def _expect(run: TaskRecord, status: TaskRecordStatus.ValueType, error_code: str = "") -> None:
    if run.status != status or run.error_code != error_code:
        name = TaskRecordStatus.Name(run.status).removeprefix("TASK_RECORD_STATUS_")
        why = " ".join(filter(None, [run.error_code, run.error_message, run.status_reason]))
        raise UnexpectedEnd(
            f"run {run.id} ({run.task_def_name}) ended {name}" + (f": {why}" if why else "")
        )


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
