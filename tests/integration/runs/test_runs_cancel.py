"""CancelTaskRecord: a wish to the executor, or the end at once; of one run or of all below it."""

from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    FinishTaskRecordRequest,
    PauseTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import (
    block,
    blocks_of,
    create,
    everything,
    get,
    history,
    let_lease_run_out,
    refused,
    report,
    running,
    start,
    until,
)
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import CANCELED, CANCELING, INTERRUPTED, PENDING, SUCCEEDED


async def cancel(client: Client, run: str, **fields: Any) -> TaskRecord:
    return await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run, **fields))


async def test_a_run_that_waits_is_canceled_at_once(client: Client) -> None:
    run = await create(client)
    after = await cancel(client, run.id, reason="order withdrawn")
    assert (after.status, after.status_actor) == (CANCELED, "tester")
    assert after.status_reason == "order withdrawn"
    assert after.end_time == after.update_time
    assert not after.HasField("start_time")
    assert [e.reason for e in await history(client, run.id)] == ["", "order withdrawn"]


async def test_an_interrupted_run_is_canceled_at_once(client: Client, database_url: str) -> None:
    run = await running(client, lease=60)
    await let_lease_run_out(database_url, run.id)
    await until(client, run.id, INTERRUPTED)
    assert (await cancel(client, run.id)).status == CANCELED


@pytest.mark.parametrize("pause", [None, {}, {"executor_id": "robot-1", "lease_epoch": 1}])
async def test_a_run_that_is_held_is_asked_to_end(
    client: Client, pause: dict[str, Any] | None
) -> None:
    run = await running(client, lease=60)
    await report(client, run.id, block("a", blocks.RUNNING))
    if pause is not None:
        await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run.id, **pause))
    after = await cancel(client, run.id)
    assert after.status == CANCELING
    assert not after.HasField("end_time")
    assert after.HasField("lease_expire_time")
    # The executor learns it with its next report, and ends its blocks and the run in its own time.
    answer = await report(client, run.id, block("a", blocks.FAILED), executor_id="robot-1")
    assert answer.task_record_status == CANCELING


async def test_asked_again_it_answers_the_present_state(client: Client) -> None:
    run = await running(client)
    canceling = await cancel(client, run.id)
    assert await cancel(client, run.id, reason="again") == canceling
    canceled = await cancel(client, run.id, force=True)
    assert canceled.status == CANCELED
    assert await cancel(client, run.id, force=True) == canceled
    assert await cancel(client, run.id) == canceled
    assert len(await history(client, run.id)) == 4


async def test_force_ends_a_run_that_is_held(client: Client) -> None:
    run = await running(client, lease=60)
    await report(client, run.id, block("a", blocks.RUNNING))
    after = await cancel(client, run.id, force=True)
    assert after.status == CANCELED
    assert not after.HasField("lease_expire_time")
    assert [b.status for b in await blocks_of(client, run.id)] == [blocks.CANCELED]
    with refused(StatusCode.FAILED_PRECONDITION, "RUN_NOT_REPORTABLE"):
        await report(client, run.id, block("b", blocks.RUNNING), executor_id="robot-1")


async def test_what_has_ended_otherwise_is_not_canceled(client: Client) -> None:
    run = await running(client)
    await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=run.id, status=SUCCEEDED))
    before = await everything(client, run.id)
    for force in (False, True):
        with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
            await cancel(client, run.id, force=force)
    assert await everything(client, run.id) == before


class Family:
    """A run, below it one that has ended, one that runs, one that waits; another beside it."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    async def grow(self, client: Client) -> None:
        top = await running(client)
        self.ids["top"] = top.id
        for name, parent in [
            ("ended", "top"),
            ("runs", "top"),
            ("waits", "ended"),
            ("deep", "waits"),
        ]:
            parent_id = self.ids[parent]
            child = await create(client, top.task_def_id, parent_task_record_id=parent_id)
            self.ids[name] = child.id
        self.ids["beside"] = (await create(client, top.task_def_id)).id
        await start(client, self.ids["runs"])
        await start(client, self.ids["ended"])
        await client.records.FinishTaskRecord(
            FinishTaskRecordRequest(id=self.ids["ended"], status=SUCCEEDED)
        )

    async def statuses(self, client: Client) -> dict[str, int]:
        return {name: (await get(client, id_)).status for name, id_ in self.ids.items()}


@pytest.fixture
async def family(client: Client) -> Family:
    family = Family()
    await family.grow(client)
    return family


async def test_alone_a_cancel_touches_no_run_below(client: Client, family: Family) -> None:
    before = await family.statuses(client)
    await cancel(client, family.ids["top"])
    assert await family.statuses(client) == {**before, "top": CANCELING}


async def test_cascade_cancels_the_open_runs_below(client: Client, family: Family) -> None:
    await cancel(client, family.ids["top"], cascade=True, reason="stop")
    assert await family.statuses(client) == {
        "top": CANCELING,
        "ended": SUCCEEDED,
        "runs": CANCELING,
        "waits": CANCELED,
        "deep": CANCELED,
        "beside": PENDING,
    }
    for name in ("top", "runs", "waits", "deep"):
        assert (await get(client, family.ids[name])).status_reason == "stop"
    before = [await everything(client, id_) for id_ in family.ids.values()]
    await cancel(client, family.ids["top"], cascade=True, reason="again")
    assert [await everything(client, id_) for id_ in family.ids.values()] == before


async def test_cascade_with_force_ends_them_all(client: Client, family: Family) -> None:
    await cancel(client, family.ids["top"], cascade=True, force=True)
    statuses = await family.statuses(client)
    assert {statuses.pop("ended")} == {SUCCEEDED}
    assert {statuses.pop("beside")} == {PENDING}
    assert set(statuses.values()) == {CANCELED}
