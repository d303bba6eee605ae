"""What the console answers as JSON."""

import pytest
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.record_service_pb2 import SignalTaskRecordRequest
from vwed.v1.task_def_service_pb2 import UpdateTaskDefRequest

from tests.support.calls import finish_run
from tests.support.console import Console, request
from tests.support.steps import block, create, define, report, running, struct
from vwed.client import Client, data_cache
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED


async def test_runs_are_listed_by_what_the_address_asks_for(
    console: Console, client: Client, tenant: str
) -> None:
    pending = await create(client, external_id="ASN-1", labels={"zone": "入库"})
    other = await running(client)
    listed = (await request(console, f"/api/runs?tenant={tenant}")).json
    assert [run["id"] for run in listed["task_records"]] == [other.id, pending.id]
    for query in ("status=PENDING", "external_id=ASN-1", "label=zone=%E5%85%A5%E5%BA%93"):
        listed = (await request(console, f"/api/runs?tenant={tenant}&{query}")).json
        assert [run["id"] for run in listed["task_records"]] == [pending.id], query
    nobody = (await request(console, f"/api/runs?tenant={tenant}&since=2999-01-01")).json
    assert nobody["task_records"] == []


async def test_a_run_has_its_input_events_and_cache(
    console: Console, client: Client, tenant: str
) -> None:
    run = await running(client, input=struct({"to": "B-7"}))
    reported = await report(client, run.id, *(block(f"b{n}", RUNNING) for n in range(250)))
    seen = reported.block_records
    await client.cache.SetDataCache(
        SetDataCacheRequest(data_cache=data_cache(run.id, "weight", 12.5))
    )
    at = f"/api/runs/{run.id}"
    found = (await request(console, f"{at}?tenant={tenant}")).json
    assert found["input"] == {"to": "B-7"}
    cached = (await request(console, f"{at}/cache?tenant={tenant}")).json
    assert [(entry["key"], entry["text"]) for entry in cached["data_caches"]] == [
        ("weight", "12.5")
    ]
    page = (await request(console, f"{at}/events?tenant={tenant}&before=253")).json["events"]
    assert [event["seq"] for event in page] == list(range(53, 253))
    first = (await request(console, f"{at}/events?tenant={tenant}&before=53")).json["events"]
    assert [event["seq"] for event in first] == list(range(1, 53))
    assert first[0]["kind"] == "task_record"
    assert first[0]["status"] == "PENDING"
    assert first[0]["actor"] == "tester"
    await client.records.SignalTaskRecord(
        SignalTaskRecordRequest(id=run.id, name="open_gate", block_record_id=seen[0].id)
    )
    (signal,) = (await request(console, f"{at}/events?tenant={tenant}&before=254")).json["events"][
        -1:
    ]
    assert (signal["kind"], signal["subject"], signal["text"]) == (
        "signal",
        "open_gate",
        seen[0].id,
    )


async def test_executors_are_told_by_the_open_runs_that_they_hold(
    console: Console, client: Client, tenant: str
) -> None:
    runs = [await running(client, lease=3_600) for _ in range(2)]
    ended = await running(client)
    await finish_run(client, ended.id)
    (executor,) = (await request(console, f"/api/executors?tenant={tenant}")).json["executors"]
    assert executor["executor_id"] == "robot-1"
    assert {run["id"] for run in executor["runs"]} == {run.id for run in runs}
    assert executor["lease_end"]
    assert executor["heard"]


async def test_definitions_have_a_tree_versions_and_what_differs(
    console: Console, client: Client, tenant: str
) -> None:
    tree = {
        "blocks": [{"id": "a", "type": "loop", "children": {"body": [{"id": "b", "type": "move"}]}}]
    }
    definition = await define(client, tree, name="入库上架")
    definition.config.CopyFrom(struct({"blocks": [{"id": "a", "type": "wait"}]}))
    await client.definitions.UpdateTaskDef(UpdateTaskDefRequest(task_def=definition))

    listed = (await request(console, f"/api/definitions?tenant={tenant}&name=%E5%85%A5")).json
    assert [one["name"] for one in listed["task_defs"]] == ["入库上架"]
    at = f"/api/definitions/{definition.id}"
    first = (await request(console, f"{at}?tenant={tenant}&version=1")).json
    assert [(row["id"], row["depth"], row["branch"]) for row in first["blocks"]] == [
        ("a", 0, ""),
        ("b", 1, "body"),
    ]
    assert (await request(console, f"{at}?tenant={tenant}")).json["task_def"]["version"] == 2
    versions = (await request(console, f"{at}/versions?tenant={tenant}")).json
    assert [one["version"] for one in versions["task_def_versions"]] == [2, 1]
    diff = (await request(console, f"{at}/diff?tenant={tenant}&from=1&to=2")).json
    assert {change["kind"] for change in diff["changes"]} == {"KIND_CHANGED", "KIND_REMOVED"}


async def test_figures_are_of_the_runs_that_ended(
    console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    await report(client, run.id, block("a", RUNNING), block("a", SUCCEEDED))
    await finish_run(client, run.id)
    for days, step in ((1, "hour"), (7, "day")):
        told = (await request(console, f"/api/figures?tenant={tenant}&days={days}")).json
        assert told["step"] == step
        (period,) = told["periods"]
        assert period["counts"] == {"SUCCEEDED": 1}
        assert period["success_rate"] == 1
        assert period["duration"]["p50"] > 0
        assert [one["task_def_id"] for one in told["definitions"]] == [run.task_def_id]
        assert told["blocks"][0]["count"] == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/runs/none", 404, "NOT_FOUND"),
        ("/api/runs?status=BROKEN", 400, "INVALID_ARGUMENT"),
        ("/api/runs?since=yesterday", 400, "INVALID_ARGUMENT"),
        ("/api/runs?page_token=odd", 400, "INVALID_ARGUMENT"),
        ("/api/runs?tenant=a%20b", 400, "INVALID_ARGUMENT"),
        ("/api/figures?days=93", 400, "INVALID_ARGUMENT"),
        ("/api/definitions/d?version=-1", 400, "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_wrong_is_said(console: Console, path: str, status: int, code: str) -> None:
    answer = await request(console, path)
    assert answer.status == status
    assert answer.json["code"] == code
    assert answer.json["message"]
