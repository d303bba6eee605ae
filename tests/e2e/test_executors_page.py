"""The programs of docs/executors.md: pasted into one file, as the page says, and run."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ReleaseTaskRecordRequest,
    ResumeTaskRecordRequest,
    SignalTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.pages import texts
from tests.support.steps import block, blocks_of, create, define, get, report, start, struct, until
from tests.support.waiting import until_true
from vwed.client import Client, as_dict, connect
from vwed_grpc.domain import lifecycle

PAGE = "docs/executors.md"
START = "executor.run()\n"
TENANT = "executors-page"
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED


@pytest.fixture(scope="module")
def page(target: str) -> dict[str, Any]:
    """What the names of the file stand for; its server is the tests', its tenant its own."""
    first, *others = texts(PAGE, "python")
    program = "\n\n".join([first.removesuffix(START), *others])
    assert START not in program
    server = f'"{target}", tenant="{TENANT}"'
    program = program.replace('Executor("127.0.0.1:50051", ', f"Executor({server}, executor_id=")
    program = program.replace('"127.0.0.1:50051"', server)
    names: dict[str, Any] = {"__name__": "robot"}
    exec(compile(program, "robot.py", "exec"), names)
    return names


@pytest.fixture(scope="module")
async def handed_back(target: str) -> TaskRecord:
    """A run that another executor began, before those of the page claim any."""
    async with connect(target, tenant=TENANT) as client:
        run = await start(client, (await order(client, "palletizing")).id, "former", lease=60)
        fence: dict[str, Any] = {"executor_id": "former", "lease_epoch": run.lease_epoch}
        chosen = block("choose_slot", SUCCEEDED, output_data={"slot": "R-1"})
        await report(client, run.id, chosen, **fence)
        return await client.records.ReleaseTaskRecord(ReleaseTaskRecordRequest(id=run.id, **fence))


@pytest.fixture(scope="module")
async def client(
    target: str, page: dict[str, Any], handed_back: TaskRecord
) -> AsyncIterator[Client]:
    """Both executors of the page work for its tenant."""
    tasks = [asyncio.create_task(page[name].serve()) for name in ("executor", "fleet")]
    async with connect(target, tenant=TENANT) as client:
        yield client
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(end, asyncio.CancelledError), end


def test_the_first_one_is_that_of_the_readme() -> None:
    (robot,) = texts("README.md", "python")
    assert texts(PAGE, "python")[0] == robot


# Before its executor begins to claim, or that would take the run.
async def test_a_script_drives_one_run(
    target: str, page: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with connect(target, tenant=TENANT) as client:
        config = {"blocks": [{"id": "to", "type": "drive"}]}
        await define(client, config, id="pallet-delivery", task_type="pallet")
    await page["main"]()
    assert capsys.readouterr().out.endswith("TASK_RECORD_STATUS_SUCCEEDED\n")


async def order(client: Client, task_type: str, *blocks: str, **fields: Any) -> TaskRecord:
    """A run of a definition with such blocks, `id` or `id:type`."""
    config = {
        "blocks": [
            {"id": text.partition(":")[0], "type": text.partition(":")[2] or "act"}
            for text in blocks
        ]
    }
    definition = await define(client, config, task_type=task_type)
    if "input" in fields:
        fields["input"] = struct(fields["input"])
    return await create(client, definition.id, **fields)


async def ended(client: Client, run: TaskRecord) -> tuple[Any, list[str]]:
    """The result of a run that has SUCCEEDED, and how its blocks ended."""

    async def final() -> TaskRecord | None:
        record = await get(client, run.id)
        return record if record.status in lifecycle.FINAL else None

    done = await until_true(final, what=f"the end of {run.task_type}")
    assert done is not None
    assert done.status == lifecycle.SUCCEEDED, done.error_message
    return as_dict(done.result), [line(found) for found in await blocks_of(client, run.id)]


def line(record: BlockRecord) -> str:
    status = BlockRecordStatus.Name(record.status).removeprefix("BLOCK_RECORD_STATUS_")
    place = ".".join(filter(None, [record.block_id, record.iteration]))
    return f"{place} #{record.attempt} {status}"


async def test_the_pallet_slips_once(client: Client) -> None:
    run = await order(client, "pallet", "to:drive", "down:lift", input={"station": "P-07"})
    assert await ended(client, run) == (
        {"station": "P-07"},
        ["to #1 SUCCEEDED", "down #1 FAILED", "down #2 SUCCEEDED"],
    )


async def test_an_inspection_has_no_blocks(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    run = await order(client, "inspection", labels={"shelf": "E-02"}, priority=7, input={"a": "b"})
    assert await ended(client, run) == ({}, [])
    assert f"{run.id} 7 E-02 {{'a': 'b'}}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task_type", "given", "result", "blocks"),
    [
        ("stock-taking", {"shelf": "E-02"}, {"shelf": "E-02", "pallets": 7}, ["scan #1 SUCCEEDED"]),
        (
            "picking",
            {"lines": [{"quantity": 4}, {"quantity": 12}]},
            {},
            ["each_line #1 SUCCEEDED", "pick_line.1 #1 SUCCEEDED", "pick_line.2 #1 SUCCEEDED"],
        ),
        (
            "two-zones",
            {},
            {},
            ["both #1 SUCCEEDED", "pick_a #1 SUCCEEDED", "pick_b #1 SUCCEEDED"],
        ),
        ("weighing", {}, {"pallet": "none", "kilos": 118.5}, []),
        ("lift", {"lift": "L-2"}, {}, ["move #1 SUCCEEDED"]),
        (
            "palletizing",
            {},
            {"slot": "R-11-04-2"},
            ["choose_slot #1 SUCCEEDED", "put_down #1 SUCCEEDED"],
        ),
    ],
)
async def test_a_run_that_ends_well(
    client: Client, task_type: str, given: dict[str, Any], result: Any, blocks: list[str]
) -> None:
    run = await order(client, task_type, input=given)
    assert await ended(client, run) == (result, blocks)


async def test_a_run_taken_up_again_has_what_was_chosen(
    client: Client, handed_back: TaskRecord
) -> None:
    assert await ended(client, handed_back) == (
        {"slot": "R-1"},
        ["choose_slot #1 SUCCEEDED", "put_down #1 SUCCEEDED"],
    )


async def test_blocking_code(client: Client) -> None:
    run = await order(client, "conveyor", "belt", "stopper")
    assert await ended(client, run) == (
        {"blocks": 2},
        ["belt #1 SUCCEEDED", "stopper #1 SUCCEEDED"],
    )


async def test_the_last_attempt_may_be_caught(client: Client) -> None:
    run = await order(client, "charging", "dock")
    _, blocks = await ended(client, run)
    assert blocks == [
        "dock #1 FAILED",
        "dock #2 FAILED",
        "dock #3 FAILED",
        "call_for_help #1 SUCCEEDED",
    ]


async def test_it_pauses_in_mid_motion(client: Client) -> None:
    run = await order(client, "long-way")
    await until_true(lambda: blocks_of(client, run.id), what="a block")
    await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run.id))
    await until(client, run.id, lifecycle.PAUSED)
    (drive,) = await blocks_of(client, run.id)
    assert drive.message == "stands still"
    await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run.id))
    assert await ended(client, run) == ({}, ["drive #1 SUCCEEDED"])


async def test_a_canceled_robot_drives_home(client: Client) -> None:
    run = await order(client, "patrol")
    await until_true(lambda: blocks_of(client, run.id), what="a block")
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id))
    await until(client, run.id, lifecycle.CANCELED)
    blocks = [line(found) for found in await blocks_of(client, run.id)]
    assert blocks == ["round #1 CANCELED", "drive_home #1 SUCCEEDED"]


async def test_a_signal_opens_the_gate(client: Client) -> None:
    run = await order(client, "gate")
    await until(client, run.id, lifecycle.RUNNING)
    await client.records.SignalTaskRecord(
        SignalTaskRecordRequest(id=run.id, name="gate_open", payload=struct({"who": "陈静"}))
    )
    assert await ended(client, run) == ({"gate": "open"}, ["gate #1 SUCCEEDED"])
    (gate,) = await blocks_of(client, run.id)
    assert as_dict(gate.output_data) == {"opened_by": "陈静"}
