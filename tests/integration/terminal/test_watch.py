"""`watch` into a pipe: a line or an object for each event, and how it ends."""

import json

import pytest
from google.protobuf.json_format import ParseDict
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordStatus

from tests.integration.terminal.test_reading import picked
from tests.support.calls import finish_run
from tests.support.steps import history
from tests.support.terminal import vwed
from vwed.client import Client
from vwed_grpc.domain import lifecycle


async def test_each_event_is_a_line(client: Client, target: str, tenant: str) -> None:
    run = await picked(client, lines=2)
    await finish_run(client, run.id)
    said = await vwed(target, tenant, "watch", run.id, "--after-seq", "0")
    events = await history(client, run.id)
    assert [int(line.split()[1]) for line in said.lines] == [event.seq for event in events]
    assert "SUCCEEDED" in said.lines[-1]
    assert "pick[2]" in said.out


async def test_each_event_is_an_object_of_the_contract(
    client: Client, target: str, tenant: str
) -> None:
    run = await picked(client, lines=2)
    await finish_run(client, run.id)
    said = await vwed(target, tenant, "watch", run.id, "--after-seq", "0", "-o", "json")
    told = [ParseDict(json.loads(line), TaskRecordEvent()) for line in said.lines]
    assert [event.seq for event in told] == [event.seq for event in await history(client, run.id)]


@pytest.mark.parametrize(
    ("status", "code"),
    [(lifecycle.SUCCEEDED, 0), (lifecycle.FAILED, 10), (lifecycle.CANCELED, 11)],
)
async def test_the_exit_status_is_the_runs(
    client: Client, target: str, tenant: str, status: TaskRecordStatus.ValueType, code: int
) -> None:
    run = await picked(client, lines=1)
    await finish_run(client, run.id, status)
    assert (await vwed(target, tenant, "watch", run.id, "--exit-status")).code == code
    assert (await vwed(target, tenant, "watch", run.id)).code == 0
