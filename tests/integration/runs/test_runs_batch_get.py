"""BatchGetTaskRecords: all of them in the order of the request, or NOT_FOUND."""

from collections.abc import Sequence

from grpc import StatusCode
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import BatchGetTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import finish_run
from tests.support.steps import create, define, refused, running, struct
from vwed.client import Client, connect


async def batch(
    client: Client, ids: Sequence[str], view: View.ValueType = View.VIEW_UNSPECIFIED
) -> list[TaskRecord]:
    request = BatchGetTaskRecordsRequest(ids=ids, view=view)
    return list((await client.records.BatchGetTaskRecords(request)).task_records)


async def test_the_order_is_that_of_the_request(client: Client) -> None:
    made = [await create(client) for _ in range(4)]
    wanted = [made[n].id for n in (2, 0, 3, 0)]
    assert [run.id for run in await batch(client, wanted)] == wanted


async def test_views(client: Client) -> None:
    run = await running(client, input=struct({"to": "dock"}))
    run = await finish_run(client, run.id, result=struct({"ok": True}))
    assert await batch(client, [run.id], View.VIEW_FULL) == [run]
    for view in (View.VIEW_UNSPECIFIED, View.VIEW_BASIC):
        (basic,) = await batch(client, [run.id], view)
        assert not basic.HasField("input")
        assert not basic.HasField("result")
        basic.input.CopyFrom(run.input)
        basic.result.CopyFrom(run.result)
        assert basic == run


async def test_one_that_is_missing_is_named(client: Client, target: str) -> None:
    run = await create(client)
    async with connect(target, tenant="another", bare=True) as other:
        foreign = await create(other)
    for missing in ("nowhere", foreign.id):
        with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND") as refusal:
            await batch(client, [run.id, missing])
        assert refusal.metadata == {"id": missing}


async def test_there_are_1_to_1000(client: Client) -> None:
    run = await create(client)
    assert len(await batch(client, [run.id] * 1000)) == 1000
    for ids in ([], [run.id] * 1001):
        with refused(StatusCode.INVALID_ARGUMENT) as refusal:
            await batch(client, ids)
        assert refusal.fields == ["ids"]


async def test_what_is_above_4_mib_is_refused(client: Client) -> None:
    task_def = await define(client, {})
    large = struct({"x": "x" * 1_000_000})
    ids = [(await create(client, task_def.id, input=large)).id for _ in range(5)]
    assert len(await batch(client, ids[:4], View.VIEW_FULL)) == 4
    with refused(StatusCode.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE"):
        await batch(client, ids, View.VIEW_FULL)
    # The same run again and again is as large.
    with refused(StatusCode.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE"):
        await batch(client, ids[:1] * 5, View.VIEW_FULL)
    assert len(await batch(client, ids)) == 5
