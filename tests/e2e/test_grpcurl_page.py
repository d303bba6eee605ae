"""The recipes of docs/grpcurl.md, pasted one after another."""

import asyncio
import json
import re
import subprocess
from typing import Any

from tests.support.grpcurl import messages, shell
from tests.support.pages import texts
from tests.support.process import BIN, ENVIRONMENT

BEGIN, *BLOCKS = texts("docs/grpcurl.md", "sh")
MESSAGE = re.compile(r"^\{$.*?^\}$", re.DOTALL | re.MULTILINE)
STREAM = "/WatchTaskRecords"
TENANT = "grpcurl-page"


async def test_the_recipes_work_as_they_are_pasted(target: str) -> None:
    streams = [n for n, block in enumerate(BLOCKS) if STREAM in block]
    *blocks, failing = [block for block in BLOCKS if STREAM not in block]
    said = [await asyncio.to_thread(paste, block, target) for block in blocks]
    (
        (health,),
        (definition,),
        (ordered,),
        (open_runs, labelled, first_page, one),
        (claimed,),
        (reported, beaten, listed),
        (taken, refused),
        (pausing, running, signal, canceling, canceled),
        (retry, retries),
        watched,
        resumed,
        (history,),
        (entry, read, counter, batch, found, cleared),
        (by_status, by_type),
        (exported, imported),
        (pruned,),
        (elsewhere,),
    ) = said

    assert health == {"status": "SERVING"}
    assert definition["version"] == 1
    assert (ordered["external_id"], ordered["created_by"]) == ("WMS-1", "wms")

    assert open_runs["total_size"] == "1"
    for page in (open_runs, labelled, first_page):
        assert [run["id"] for run in page["task_records"]] == ["restock-1"]
    assert labelled["task_records"][0]["input"] == {"lines": 2}
    assert one == ordered

    (claim,) = claimed["task_records"]
    assert (claim["executor_id"], claim["lease_epoch"]) == ("by-hand", "1")
    assert len(reported["seqs"]) == 4
    assert beaten["message"] == "at shelf 7"
    assert [block["attempt"] for block in listed["block_records"]] == [2]
    assert (taken["batch_id"], "error" in taken) == ("1", False)
    assert (refused["batch_id"], "error" in refused) == ("2", True)

    assert [short(run) for run in (pausing, running, canceling, canceled)] == [
        "PAUSING",
        "RUNNING",
        "CANCELING",
        "CANCELED",
    ]
    assert (pausing["status_actor"], pausing["status_reason"]) == ("ann", "people in the aisle")
    assert short(signal) == "RUNNING"
    assert retries["task_records"][0]["id"] == retry["id"]
    assert retry["block_counts"]["succeeded"] == 2

    assert watched[0]["snapshot"]
    seqs = [int(event["seq"]) for message in resumed for event in message["events"]]
    assert seqs == [*range(8, seqs[-1] + 1)]
    assert [int(event["seq"]) for event in history["events"]] == seqs

    assert read == entry
    assert (read["string_value"], counter["int_value"]) == ("R-11-04", "1")
    assert len(batch["data_caches"]) == 2
    assert [each["key"] for each in found["data_caches"]] == ["slot.A", "slot.B", "slot.C"]
    assert cleared == {"deleted_count": "3"}
    assert by_status["task_record_summaries"][0]["count"] == "1"
    assert by_type["block_record_summaries"]
    assert exported["task_def"]["id"] == "restock"
    assert imported == {"created": 1}
    assert pruned == {}
    assert elsewhere == {}, "another tenant has none of it"

    (number,) = streams
    async with shell(script(f"exec {BLOCKS[number]}", target)) as watching:
        first = await anext(messages(watching))
    assert {event["task_record_id"] for event in first["events"]} == {retry["id"]}
    assert first["resume_token"]

    error = await asyncio.to_thread(run, failing, target)
    assert error.returncode
    assert '"reason":"TASK_RECORD_NOT_FOUND"' in error.stderr


def script(block: str, address: str) -> str:
    """For bash, in a tenant of its own; one that names a tenant, in another of its own."""
    text = f"PATH={BIN}:$PATH\n{BEGIN.splitlines()[1]}\n{block}"
    text = text.replace("127.0.0.1:50051", address).replace("plant-2", f"{TENANT}-2")
    if "x-vwed-tenant" not in block:
        text = text.replace("-plaintext", f"-plaintext -H 'x-vwed-tenant: {TENANT}'")
    return text


def run(block: str, address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script(block, address)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def paste(block: str, address: str) -> list[Any]:
    """The messages that its commands print."""
    done = run(block, address)
    assert (done.returncode, done.stderr) == (0, ""), block
    return [json.loads(text) for text in MESSAGE.findall(done.stdout)]


def short(run: dict[str, Any]) -> str:
    return str(run["status"]).removeprefix("TASK_RECORD_STATUS_")
