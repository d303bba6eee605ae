"""`list`, `get`, `top` and `timeline`: what they print, and that JSON is the contract's."""

import asyncio
import json
import signal
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from google.protobuf.json_format import ParseDict
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey, BlockRecordStatus
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.support.calls import finish_run, set_entry
from tests.support.steps import block, create, define, get, report, running
from tests.support.terminal import all_of, on_a_terminal, until_shown, vwed
from vwed.client import Client
from vwed_grpc.cli.list_lines import list_lines
from vwed_grpc.domain import lifecycle

SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED
LOOP = {
    "blocks": [
        {"id": "choose", "type": "choose_robot", "name": "选择叉车"},
        {
            "id": "each_line",
            "type": "for_each",
            "children": {"default": [{"id": "pick", "type": "pick", "name": "拣货"}]},
        },
        {"id": "report", "type": "report_to_wms"},
    ]
}


async def picked(client: Client, *, lines: int) -> TaskRecord:
    """A run amid its loop, so many lines of which are picked."""
    task_def = await define(client, LOOP, name="入库上架", id="putaway")
    run = await running(client, task_def.id)
    parent = BlockRecordKey(block_id="each_line")
    done = [block("pick", SUCCEEDED, iteration=str(n), parent=parent) for n in range(1, lines + 1)]
    await report(client, run.id, block("choose", SUCCEEDED), block("each_line", RUNNING))
    await report(client, run.id, *done)
    return run


async def test_list_tells_of_each_run_in_a_line(client: Client, target: str, tenant: str) -> None:
    task_def = await define(client, name="入库上架")
    old = await running(client, task_def.id, external_id="ASN-1")
    await finish_run(client, old.id)
    new = await create(client, task_def.id, external_id="ASN-2")
    head, first, second = (await vwed(target, tenant, "list")).lines
    assert head.split()[:4] == ["RUN", "STATUS", "DONE", "TIME"]
    assert first.split()[:3] == [new.id, "PENDING", "0%"]
    assert second.split()[:3] == [old.id, "SUCCEEDED", "100%"]
    assert first.endswith("入库上架    ASN-2")


@pytest.mark.parametrize(
    ("options", "external_ids"),
    [
        (("--status", "pending"), {"c"}),
        (("--status", "PENDING", "--status", "FAILED"), {"b", "c"}),
        (("--external-id", "a"), {"a"}),
        (("--executor", "robot-1"), {"a", "b"}),
        (("--robot", "none"), set()),
        (("--def", "d-2"), {"c"}),
        (("--label", "zone=n"), {"c"}),
        (("--since", "1h", "--limit", "2"), {"b", "c"}),
        (("--since", "2100-01-01"), set()),
    ],
)
async def test_list_asks_for_what_it_is_told(
    client: Client, target: str, tenant: str, options: tuple[str, ...], external_ids: set[str]
) -> None:
    one, two = await define(client, name="d-1"), await define(client, name="d-2")
    await running(client, one.id, external_id="a")
    failed = await running(client, one.id, external_id="b")
    await finish_run(client, failed.id, lifecycle.FAILED)
    await create(client, two.id, external_id="c", labels={"zone": "n"})
    listed = (await vwed(target, tenant, "list", "-o", "json", *options)).json
    assert {ParseDict(run, TaskRecord()).external_id for run in listed} == external_ids


async def test_that_nothing_is_listed_is_said_apart_from_what_is(target: str, tenant: str) -> None:
    assert await vwed(target, tenant, "list") == (0, "", f"no such runs of the tenant {tenant}\n")


async def test_of_a_run_that_is_not_there_it_is_said_where_it_is_not(
    target: str, tenant: str
) -> None:
    said = f"Error: NOT_FOUND: no task_record 'none' of the tenant {tenant}\n"
    assert await vwed(target, tenant, "get", "none") == (3, "", said)


async def test_a_picture_that_cannot_be_written_is_said(
    client: Client, target: str, tenant: str
) -> None:
    run = await running(client)
    ended = await vwed(target, tenant, "timeline", run.id, "--out", "/proc/none/a.svg")
    said = "Error: /proc/none/a.svg cannot be written: No such file or directory\n"
    assert ended == (1, "", said)


async def test_what_is_no_time_and_no_label_is_a_usage_error(target: str, tenant: str) -> None:
    assert (await vwed(target, tenant, "list", "--since", "soon")).code == 2
    assert (await vwed(target, tenant, "list", "--label", "zone")).code == 2


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_lists_fit_into_the_terminal(width: int) -> None:
    runs = [
        TaskRecord(
            id="01a2281a-6cbc-7a27-9c94-f3023e23af55",
            task_def_name="分区并行拣选",
            external_id=f"SO-{n}",
            status=TaskRecordStatus.TASK_RECORD_STATUS_RUNNING,
            message="电量" * n,
        )
        for n in range(30)
    ]
    lines = list_lines(runs, datetime.now(UTC), width=width)
    assert max(line.cell_len for line in lines) <= width
    if width >= 80:
        assert all("RUNNING" in line.plain for line in lines[1:])
        assert all("分区并行拣选" in line.plain for line in lines[1:])


async def test_get_draws_the_tree_with_what_is_yet_to_come(
    client: Client, target: str, tenant: str
) -> None:
    run = await picked(client, lines=3)
    head, *tree = (await vwed(target, tenant, "get", run.id)).lines
    assert head.startswith("入库上架")
    assert " RUNNING " in head
    assert [line.split()[:2] for line in tree] == [
        ["+", "choose"],
        [">", "each_line"],
        ["+", "pick[1]"],
        ["+", "pick[2]"],
        ["+", "pick[3]"],
        [".", "report"],
    ] or [line.split()[0] for line in tree][-1] == "report"
    assert "SUCCEEDED" in tree[0]
    assert "RUNNING" in tree[1]


async def test_get_folds_a_loop_of_thousands(client: Client, target: str, tenant: str) -> None:
    run = await picked(client, lines=900)
    await report(client, run.id, block("pick", FAILED, iteration="901", error_message="no box"))
    lines = (await vwed(target, tenant, "get", run.id)).lines
    assert len(lines) < 10
    assert any("pick *900 +900" in line for line in lines)
    assert any("pick[901]" in line and "FAILED" in line and "no box" in line for line in lines)


async def test_get_as_json_has_all_of_it(client: Client, target: str, tenant: str) -> None:
    run = await picked(client, lines=2)
    await set_entry(client, run.id, "pallet", string_value="PLT-1")
    said = (await vwed(target, tenant, "get", run.id, "--cache", "--events", "-o", "json")).json
    now = await get(client, run.id)
    assert ParseDict(said["task_record"], TaskRecord()) == now
    assert [one["block_id"] for one in said["block_records"]] == [
        "choose",
        "each_line",
        "pick",
        "pick",
    ]
    assert ParseDict(said["block_records"][0], BlockRecord()).status == SUCCEEDED
    assert said["data_caches"][0]["string_value"] == "PLT-1"
    assert [int(event["seq"]) for event in said["events"]] == list(range(1, now.seq + 1))


async def test_get_shows_the_cache_and_the_history(
    client: Client, target: str, tenant: str
) -> None:
    run = await picked(client, lines=1)
    await set_entry(client, run.id, "pallet", string_value="托盘")
    await set_entry(client, run.id, "count", int_value=3)
    lines = (await vwed(target, tenant, "get", run.id, "--cache", "--events")).lines
    assert 'pallet = "托盘"' in lines
    assert "count = 3" in lines
    assert any("PENDING" in line for line in lines)


async def test_top_shows_open_runs_with_those_at_work_first(
    client: Client, target: str, tenant: str
) -> None:
    task_def = await define(client)
    waiting = await create(client, task_def.id)
    at_work = await running(client, task_def.id)
    over = await running(client, task_def.id)
    await finish_run(client, over.id)
    lines = (await vwed(target, tenant, "top")).lines
    assert [line.split()[0] for line in lines[1:]] == [at_work.id, waiting.id]
    listed = (await vwed(target, tenant, "top", "-o", "json")).json
    assert [run["id"] for run in listed] == [at_work.id, waiting.id]


async def test_a_command_that_there_is_not(target: str, tenant: str) -> None:
    said = await vwed(target, tenant, "lst")
    assert (said.code, "No such command 'lst'" in said.err) == (2, True)


async def test_top_on_a_terminal_follows_the_open_runs(
    client: Client, target: str, tenant: str
) -> None:
    task_def = await define(client)
    first = await running(client, task_def.id, id="first")
    with on_a_terminal("top", "--target", target, "--tenant", tenant) as (top, terminal):
        await asyncio.to_thread(until_shown, terminal, "first")
        for n in range(12):  # more than the screen has lines
            await create(client, task_def.id, id=f"waiting-{n}")
        await asyncio.to_thread(until_shown, terminal, "first", "waiting-0", "and 4 more")
        await finish_run(client, first.id)
        shown = "waiting-0", "and 3 more"
        await asyncio.to_thread(until_shown, terminal, *shown, without="first")
        top.send_signal(signal.SIGINT)
        await asyncio.to_thread(all_of, terminal)
        assert await asyncio.to_thread(top.wait) == 130


async def test_a_timeline_is_a_picture_a_page_or_a_trace(
    client: Client, target: str, tenant: str
) -> None:
    run = await picked(client, lines=2)
    picture = ET.fromstring((await vwed(target, tenant, "timeline", run.id)).out)
    words = {element.text for element in picture.iter() if element.text}
    assert {"choose 选择叉车", "pick[2] 拣货", "report"} <= words
    page = (await vwed(target, tenant, "timeline", run.id, "--format", "html")).out
    assert "each_line  RUNNING" in page
    trace = json.loads((await vwed(target, tenant, "timeline", run.id, "--format", "trace")).out)
    blocks = [event["name"] for event in trace["traceEvents"] if event["ph"] == "X"]
    assert blocks == ["choose 选择叉车", "each_line", "pick[1] 拣货", "pick[2] 拣货"]


async def test_what_is_not_there_ends_with_3(target: str, tenant: str) -> None:
    for words in (("get", "no-run"), ("watch", "no-run"), ("timeline", "no-run")):
        said = await vwed(target, tenant, *words)
        assert said.code == 3
        assert "NOT_FOUND" in said.err
