"""What a process with a blocking client lives through: Ctrl-C, a fork, an end without a goodbye."""

import asyncio
import sys

import pytest

from tests.support.steps import create
from vwed.client import Client

BEGIN = """
import asyncio, os, signal, sys
from contextlib import ExitStack
from google.protobuf.duration_pb2 import Duration
from vwed.client import blocking
from vwed.client.blocking.iteration import plain
from vwed.v1.record_service_pb2 import *

_, target, tenant, run = sys.argv
get = GetTaskRecordRequest(id=run)
claim = ClaimTaskRecordsRequest(executor_id="robot-1", wait=Duration(seconds=60))

def connect():
    return blocking.connect(target, tenant=tenant)

def say(*words):
    print(*words, flush=True)

"""

INTERRUPTED = """
async def waits_at_its_end():
    try:
        yield await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.1)

with connect() as client:
    client.records.ClaimTaskRecords(claim)  # the only run there is
    for wait in (
        lambda: client.records.ClaimTaskRecords(claim),
        lambda: list(blocking.watch_run(client, run)),
        lambda: list(client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run))),
        lambda: list(plain(waits_at_its_end(), client.loop)),
    ):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            wait()
        except KeyboardInterrupt:
            say("interrupted")
    retried = CreateTaskRecordRequest()
    retried.task_record.task_def_id = client.records.GetTaskRecord(get).task_def_id
    client.records.CreateTaskRecord(retried)
    claim.executor_id = "robot-2"
    say(client.records.ClaimTaskRecords(claim).task_records[0].executor_id)
"""

FORKED = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of it, too

def connect_anew():
    with connect() as client:
        return client.records.GetTaskRecord(get)

with connect() as client:
    watch = blocking.watch_run(client, run)
    next(watch)
    if os.fork() == 0:
        for use in lambda: client.records.GetTaskRecord(get), lambda: next(watch), connect_anew:
            try:
                say(use())
            except RuntimeError as exc:
                say(exc)
        os._exit(0)
    os.wait()
    say(client.records.GetTaskRecord(get).id == run)
"""

LEFT_OPEN = """
stack = ExitStack()
client = stack.enter_context(connect())
watch = blocking.watch_run(client, run)
next(watch)
sys.exit(7)
"""


async def python(program: str, *arguments: str) -> tuple[int, list[str], str]:
    """Runs it: its exit code, the lines that it said, and its complaints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BEGIN + program,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, complaints = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines(), complaints.decode()


async def test_ctrl_c_ends_what_waits(client: Client, target: str, tenant: str) -> None:
    run = await create(client)
    said = await python(INTERRUPTED, target, tenant, run.id)
    # The claim that was interrupted took nothing afterwards.
    assert said == (0, [*["interrupted"] * 4, "robot-2"], "")


async def test_a_fork_is_told_not_waited_for(
    client: Client, target: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What gRPC does by itself in the child may crash it before anybody can say anything.
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    run = await create(client)
    refused = "the client was used before this process was forked, which gRPC does not survive"
    assert await python(FORKED, target, tenant, run.id) == (0, [*[refused] * 3, "True"], "")


async def test_a_client_left_open_keeps_no_process(
    client: Client, target: str, tenant: str
) -> None:
    run = await create(client)
    assert await python(LEFT_OPEN, target, tenant, run.id) == (7, [], "")
