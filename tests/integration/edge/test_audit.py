"""The audit: a line for each call that may change something, however it ended."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    GetTaskRecordRequest,
    RetryTaskRecordRequest,
    StreamBlockReportsRequest,
)

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import create_def, create_run, set_entry, start_run
from tests.support.pages import texts
from tests.support.tokens import PRIVATE, bearer, token, write_keys
from tests.support.waiting import until_true
from vwed.client import Client, connect
from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.rpc.scopes import changes
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


class Lines:
    """The lines of a file, which another thread writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, method: str = "") -> list[Any]:
        lines = map(json.loads, self.path.read_text().splitlines())
        return [line for line in lines if line["method"].endswith(method)]

    async def of(self, method: str, count: int = 1) -> list[Any]:
        await until_true(lambda: len(self.read(method)) >= count, what=method)
        found = self.read(method)
        assert len(found) == count
        return found


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path / "audit.log")


@pytest.fixture
async def audited(settings: Settings, lines: Lines, tmp_path: Path) -> AsyncIterator[str]:
    keys = write_keys(tmp_path / "keys.json", *PRIVATE)
    own = settings.model_copy(update={"audit_log": str(lines.path), "token_keys": keys})
    async with serving(own) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def wms(audited: str, tenant: str) -> AsyncIterator[Client]:
    async with connect(audited, tenant=tenant, token=token(), bare=True) as client:
        yield client


async def test_a_line_has_all_of_it(wms: Client, lines: Lines, tenant: str) -> None:
    made = await create_def(wms)
    (line,) = await lines.of("CreateTaskDef")
    (shown,) = texts("docs/security.md", "json")
    assert [*line] == [*json.loads(shown)]
    assert [*line] == ["time", "tenant", "actor", "method", "id", "code", "request_id"]
    assert line["time"].endswith("+00:00")
    assert line["request_id"]
    assert (line["tenant"], line["actor"], line["id"]) == (tenant, "wms", made.id)
    assert (line["method"], line["code"]) == ("vwed.v1.TaskDefService.CreateTaskDef", "OK")


async def test_what_is_named_and_what_is_made(wms: Client, lines: Lines) -> None:
    definition = await create_def(wms)
    run = await create_run(wms, definition.id)
    (line,) = await lines.of("CreateTaskRecord")
    assert line["id"] == run.id
    await wms.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id))
    (line,) = await lines.of("CancelTaskRecord")
    assert line["id"] == run.id
    again = await wms.records.RetryTaskRecord(RetryTaskRecordRequest(id=run.id))
    (line,) = await lines.of("RetryTaskRecord")
    assert line["id"].split(",") == [run.id, again.id]
    entry = await set_entry(wms, run.id, "key", int_value=1)
    (line,) = await lines.of("SetDataCache")
    assert line["id"].split(",") == [run.id, entry.id]


async def test_reads_have_none(wms: Client, lines: Lines) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await wms.records.GetTaskRecord(GetTaskRecordRequest(id="missing"))
    await create_def(wms)
    await lines.of("CreateTaskDef")
    assert len(lines.read()) == 1
    reading = {name for name, method in METHODS.items() if not changes(method)}
    verbs = ("Get", "BatchGet", "List", "Diff", "Summarize", "Watch", "Export")
    assert reading == {name for name in METHODS if name.startswith(verbs)}


async def test_refused_calls_have_one(audited: str, lines: Lines, tenant: str) -> None:
    request = CancelTaskRecordRequest(id="missing")
    async with connect(audited, tenant=tenant, bare=True) as nobody:
        for number, (metadata, code, actor) in enumerate(
            [
                ([], "UNAUTHENTICATED", ""),
                ([bearer(token("records:read"))], "PERMISSION_DENIED", "wms"),
                ([bearer(token(tenants=["t-other"]))], "PERMISSION_DENIED", "wms"),
                ([bearer(token())], "NOT_FOUND", "wms"),
            ]
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await nobody.records.CancelTaskRecord(request, metadata=metadata)
            line = (await lines.of("CancelTaskRecord", number + 1))[-1]
            assert (line["code"], line["actor"]) == (code, actor)
            assert line["id"] == ("missing" if code == "NOT_FOUND" else "")


async def test_the_header_names_nobody_before_the_token_is_good(
    audited: str, lines: Lines, tenant: str
) -> None:
    async with connect(audited, tenant=tenant, actor="chen", bare=True) as nobody:
        with pytest.raises(grpc.aio.AioRpcError):
            await create_def(nobody)
    (line,) = await lines.of("CreateTaskDef")
    assert (line["code"], line["actor"]) == ("UNAUTHENTICATED", "")


async def test_a_stream_has_one_at_its_end(wms: Client, lines: Lines) -> None:
    definition = await create_def(wms)
    runs = [await create_run(wms, definition.id) for _ in range(2)]
    for run in runs:
        await start_run(wms, run.id)
    batches = [
        StreamBlockReportsRequest(
            task_record_id=run.id, block_records=[BlockRecord(block_id=f"b{number}")]
        )
        for number in range(5)
        for run in runs
    ]
    answers = [answer async for answer in wms.records.StreamBlockReports(iter(batches))]
    assert len(answers) == 10
    (line,) = await lines.of("StreamBlockReports")
    assert line["id"].split(",") == [run.id for run in runs]


async def test_a_caller_who_leaves_has_one(wms: Client, lines: Lines) -> None:
    run = await create_run(wms, (await create_def(wms)).id)
    await start_run(wms, run.id)
    call = wms.records.StreamBlockReports()
    await call.write(
        StreamBlockReportsRequest(task_record_id=run.id, block_records=[BlockRecord(block_id="a")])
    )
    await call.read()
    call.cancel()
    (line,) = await lines.of("StreamBlockReports")
    assert line["id"] == run.id
    assert line["code"] == "CANCELLED"


async def test_the_file_may_be_moved_away(wms: Client, lines: Lines) -> None:
    definition = await create_def(wms)
    await lines.of("CreateTaskDef")
    lines.path.rename(lines.path.with_suffix(".1"))
    await create_run(wms, definition.id)
    await until_true(lines.path.exists, what="a new file")
    await lines.of("CreateTaskRecord")


async def test_a_file_that_cannot_be(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"audit_log": str(tmp_path / "none" / "audit.log")})
    with pytest.raises(CannotServeError, match=r"the audit log .* cannot be written: No such"):
        async with serving(own):
            pass
