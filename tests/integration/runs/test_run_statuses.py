"""The contract's table of statuses through the RPCs: each verb at a run of each status, twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    ClaimTaskRecordsRequest,
    FinishTaskRecordRequest,
    PauseTaskRecordRequest,
    ReleaseTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus

from tests.support.refusals import read_refusal
from tests.support.steps import create, define, get, history, start
from vwed.client import Client
from vwed_grpc.domain.lifecycle import Status

Verb = Callable[[Client, str], Awaitable[TaskRecord | None]]
"""Answers the run; None: it took nothing."""

HOLDER: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}


def status_of(name: str) -> Status:
    return TaskRecordStatus.Value(f"TASK_RECORD_STATUS_{name}")


async def claim(client: Client, run: str) -> TaskRecord | None:
    request = ClaimTaskRecordsRequest(
        executor_id="robot-2", filter=TaskRecordFilter(ids=[run]), include_interrupted=True
    )
    taken = (await client.records.ClaimTaskRecords(request)).task_records
    return taken[0] if taken else None


def pause(client: Client, run: str, **fence: Any) -> Awaitable[TaskRecord]:
    return client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run, **fence))


def resume(client: Client, run: str) -> Awaitable[TaskRecord]:
    return client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run))


def cancel(client: Client, run: str, *, force: bool = False) -> Awaitable[TaskRecord]:
    return client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run, force=force))


def release(client: Client, run: str) -> Awaitable[TaskRecord]:
    return client.records.ReleaseTaskRecord(ReleaseTaskRecordRequest(id=run, **HOLDER))


def finish(name: str) -> Verb:
    status = status_of(name)
    return lambda client, run: client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=status)
    )


VERBS: dict[str, Verb] = {
    "start": start,
    "start-by-another": lambda client, run: start(client, run, "robot-2"),
    "claim": claim,
    "pause": pause,
    "pause-by-holder": lambda client, run: pause(client, run, **HOLDER),
    "resume": resume,
    "cancel": cancel,
    "cancel-by-force": lambda client, run: cancel(client, run, force=True),
    "release": release,
    "succeed": finish("SUCCEEDED"),
    "fail": finish("FAILED"),
    "finish-canceled": finish("CANCELED"),
}
"""The holder of a run, where there is one, is robot-1."""
COMES_TO: dict[str, str] = {
    "RUNNING": "start",
    "PAUSING": "start pause",
    "PAUSED": "start pause-by-holder",
    "CANCELING": "start cancel",
    "INTERRUPTED": "start release",
    "SUCCEEDED": "start succeed",
    "FAILED": "start fail",
    "CANCELED": "start finish-canceled",
    "PENDING": "",
}
TABLE = """
from         start      start-by-another  claim    pause    pause-by-holder  resume
PENDING      RUNNING    RUNNING           RUNNING  -        lost             -
RUNNING      RUNNING    taken             none     PAUSING  PAUSED           =
PAUSING      PAUSING    taken             none     =        PAUSED           RUNNING
PAUSED       PAUSED     taken             none     =        =                RUNNING
CANCELING    CANCELING  taken             none     -        -                -
INTERRUPTED  RUNNING    RUNNING           RUNNING  -        -                -
SUCCEEDED    -          -                 none     -        -                -
FAILED       -          -                 none     -        -                -
CANCELED     -          -                 none     -        -                -

from         cancel     cancel-by-force  release      succeed    fail    finish-canceled
PENDING      CANCELED   CANCELED         lost         -          FAILED  -
RUNNING      CANCELING  CANCELED         INTERRUPTED  SUCCEEDED  FAILED  CANCELED
PAUSING      CANCELING  CANCELED         INTERRUPTED  SUCCEEDED  FAILED  CANCELED
PAUSED       CANCELING  CANCELED         INTERRUPTED  SUCCEEDED  FAILED  CANCELED
CANCELING    =          CANCELED         -            SUCCEEDED  FAILED  CANCELED
INTERRUPTED  CANCELED   CANCELED         =            SUCCEEDED  FAILED  CANCELED
SUCCEEDED    -          -                -            =          -       -
FAILED       -          -                -            -          =       -
CANCELED     =          =                -            -          -       =
"""
"""What follows: a status with an event; "=", the present state with nothing written; no run for who
claims; or a refusal."""
REFUSED = {"-": "ILLEGAL_TRANSITION", "taken": "RUN_TAKEN", "lost": "LEASE_LOST"}
NEW_EPOCH = {"start", "start-by-another"}
"""What its own executor starts again, it has in another epoch."""


def expected(status: str) -> dict[str, str]:
    """The row of the status: by verb, what follows."""
    row: dict[str, str] = {}
    for part in TABLE.strip().split("\n\n"):
        head, *lines = (line.split() for line in part.splitlines())
        (found,) = (line for line in lines if line[0] == status)
        row |= zip(head[1:], found[1:], strict=True)
    return row


def test_the_table_has_all_of_them() -> None:
    assert {status_of(name) for name in COMES_TO} == {*TaskRecordStatus.values()} - {0}
    for name in COMES_TO:
        assert expected(name).keys() == VERBS.keys()


@pytest.mark.parametrize("status", COMES_TO)
async def test_each_verb_leads_where_the_table_says(client: Client, status: str) -> None:
    task_def = (await define(client)).id

    async def one(verb: str, follows: str) -> None:
        run = await create(client, task_def)
        for step in COMES_TO[status].split():
            run = await VERBS[step](client, run.id) or run
        assert run.status == status_of(status)
        await _obeyed(client, run, verb, follows)

    async with asyncio.TaskGroup() as group:
        for verb, follows in expected(status).items():
            group.create_task(one(verb, follows), name=verb)


async def _obeyed(client: Client, before: TaskRecord, verb: str, follows: str) -> None:
    act = VERBS[verb]
    if follows in REFUSED:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await act(client, before.id)
        refused = read_refusal(caught.value)
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", REFUSED[follows]), verb
        assert await get(client, before.id, strong=True) == before, verb
        return
    after = await act(client, before.id)
    if follows in {"=", "none"}:
        assert after == (before if follows == "=" else None), verb
        assert await get(client, before.id, strong=True) == before, verb
        return
    assert after is not None, verb
    assert await get(client, before.id, strong=True) == after, verb
    assert (after.status, after.seq) == (status_of(follows), before.seq + 1), verb
    (event,) = await history(client, before.id, after_seq=before.seq)
    assert event.task_record.status == after.status, verb
    # The same party asks again.
    again = await act(client, before.id)
    if verb in NEW_EPOCH:
        assert again is not None
        assert (again.status, again.lease_epoch) == (after.status, after.lease_epoch + 1), verb
    else:
        assert again == (None if verb == "claim" else after), verb
        assert await get(client, before.id, strong=True) == after, verb
