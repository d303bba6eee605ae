"""The commands of docs/terminal.md, as they are pasted."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.record_service_pb2 import HeartbeatTaskRecordRequest

from tests.support.calls import finish_run
from tests.support.pages import ROOT, texts
from tests.support.steps import block, define, report, running
from tests.support.terminal import vwed
from vwed.client import Client
from vwed_grpc.domain import lifecycle

PAGE = "docs/terminal.md"
COMMANDS = [line for block in texts(PAGE, "sh") for line in block.splitlines()]
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED


async def test_each_does_what_it_says(
    client: Client, target: str, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    definition = await define(client, name="托盘配送", id="pallet")
    given: dict[str, Any] = {"labels": {"line": "A"}, "external_id": "WMS-4711"}
    for number in (4711, 4712, 4713):
        await running(client, definition.id, id=f"order-{number}", **given)
    await report(client, "order-4711", block("to", SUCCEEDED))
    await client.records.HeartbeatTaskRecord(
        HeartbeatTaskRecordRequest(id="order-4711", robot_id="AMR-03")
    )
    await finish_run(client, "order-4711", lifecycle.SUCCEEDED)

    said = {}
    for command in COMMANDS:
        program, *words = shlex.split(command)
        assert program == "vwed-grpc"
        ended = said[command] = await vwed(target, tenant, *words)
        assert ended.code == 0, (command, ended.err)
    assert len(said) == len(COMMANDS) == 22
    silent = {command.split()[1] for command, ended in said.items() if not ended.out}
    assert silent == {"timeline"}
    for name in ("timeline.svg", "timeline.html", "trace.json"):
        assert (tmp_path / name).exists()


async def test_the_exit_codes_are_those_of_the_table(
    client: Client, target: str, tenant: str
) -> None:
    table = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", (ROOT / PAGE).read_text(), re.MULTILINE)
    assert [codes for codes, _ in table] == ["0", "1", "2", "3", "4", "10, 11", "130"]
    run = await running(client)
    await finish_run(client, run.id, lifecycle.FAILED)
    for words, code in (
        (["get", "no id"], 1),
        (["list", "--since", "yesterday"], 2),
        (["get", "none"], 3),
        (["resume", run.id], 4),
        (["watch", run.id, "--exit-status"], 10),
    ):
        assert (await vwed(target, tenant, *words)).code == code, words
