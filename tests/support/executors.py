"""Executors in a test's own loop, and what became of their runs, in words."""

import asyncio
import itertools
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.support.steps import create, define, get, history
from tests.support.waiting import PATIENCE, until_true
from vwed.client import Client, Executor
from vwed_grpc.domain.lifecycle import FINAL

TASK_TYPE = "transport"
MakeExecutor = Callable[..., Executor]


@asynccontextmanager
async def at_work(executor: Executor) -> AsyncIterator["asyncio.Task[None]"]:
    """It serves while entered, or until the task is cancelled, which is its SIGTERM."""
    serving = asyncio.create_task(executor.serve())
    try:
        yield serving
    except BaseException:
        serving.cancel()  # and once more below: a test that has failed does not wait for last words
        await asyncio.sleep(0)
        raise
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def order(client: Client, *blocks: str, task_type: str = TASK_TYPE, **fields: Any) -> str:
    """A run whose definition has these blocks; its id."""
    config = {"blocks": [{"id": name, "type": "move"} for name in blocks]}
    task_def = await define(client, config, task_type=task_type)
    return (await create(client, task_def.id, **fields)).id


async def story(client: Client, run: str) -> list[str]:
    """What happened to a run, in order: its statuses, and those of its blocks.

    `RUNNING`, in its second lease `RUNNING@2`; `drive RUNNING`, in an iteration `drive/3 RUNNING`,
    at a second try `drive#2 RUNNING`; that, too, if its beginning was reported with its end.
    """
    begun = set[str]()
    told = [words for event in await history(client, run) for words in _in_words(event, begun)]
    return [words for words, _ in itertools.groupby(told)]


def _in_words(event: TaskRecordEvent, begun: set[str]) -> Iterator[str]:
    kind = event.WhichOneof("change")
    if kind == "block_record":
        block = event.block_record
        name = name_of(block)
        if name not in begun and block.HasField("start_time"):
            begun.add(name)
            yield f"{name} RUNNING"
        yield f"{name} {_status(block)}"
    elif kind == "task_record":
        epoch = event.task_record.lease_epoch
        yield _status(event.task_record) + (f"@{epoch}" if epoch > 1 else "")
    else:
        yield str(kind)


def name_of(block: BlockRecord) -> str:
    iteration = f"/{block.iteration}" if block.iteration else ""
    attempt = f"#{block.attempt}" if block.attempt > 1 else ""
    return f"{block.block_id}{iteration}{attempt}"


def _status(of: BlockRecord | TaskRecord) -> str:
    if isinstance(of, BlockRecord):
        return BlockRecordStatus.Name(of.status).removeprefix("BLOCK_RECORD_STATUS_")
    return TaskRecordStatus.Name(of.status).removeprefix("TASK_RECORD_STATUS_")


def content(struct: Struct) -> dict[str, Any]:
    return MessageToDict(struct)


async def until_told(client: Client, run: str, what: str) -> None:
    """Returns once the run's story has `what`."""

    async def look() -> bool:
        return what in await story(client, run)

    await until_true(look, what=f"{what} in the story of {run}")


async def until_final(client: Client, run: str) -> TaskRecord:
    """The run, once it has ended."""

    async def look() -> TaskRecord | None:
        record = await get(client, run, strong=True)
        return record if record.status in FINAL else None

    record = await until_true(look, what=f"the end of {run}")
    assert record
    return record


async def until_renewed(client: Client, run: str, times: int = 2) -> TaskRecord:
    """The run, once its lease was renewed so many times."""
    ends = set[int]()

    async def look() -> TaskRecord | None:
        record = await get(client, run, strong=True)
        if record.HasField("lease_expire_time"):
            ends.add(record.lease_expire_time.ToNanoseconds())
        return record if len(ends) > times else None

    record = await until_true(look, what="a renewed lease")
    assert record
    return record


async def stands(count: Callable[[], int]) -> int:
    """What it counts, once that has not grown for a while."""
    seen = list[int]()

    def look() -> bool:
        seen.append(count())
        return seen[-1] > 0 and len(seen) > 10 and len({*seen[-10:]}) == 1

    await until_true(look, what="a stand")
    return seen[-1]


class Robot:
    """An executor in a process of its own (`tests.support.robot`)."""

    _process: Process

    def __init__(self, target: str, tenant: str, *, lease: float, character: str) -> None:
        self._arguments = (target, tenant, str(lease), character)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.robot", *self._arguments),
            cwd=Path(__file__).parents[2],
            stdout=PIPE,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def says(self) -> str:
        """Its next line; "" at its end."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self._process.stdout.readline()).decode().strip()

    async def last_words(self) -> list[str]:
        """All lines that are left, once it ended."""
        lines = list[str]()
        while line := await self.says():
            lines.append(line)
        return lines

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


StartRobot = Callable[..., Awaitable[Robot]]
