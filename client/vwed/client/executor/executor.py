import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import grpc
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed.client.connection import Client, connect
from vwed.client.executor.blocking_run import BlockingRun, work_of
from vwed.client.executor.ending import Result
from vwed.client.executor.process import stopping_on_signals
from vwed.client.executor.run import Run
from vwed.client.executor.tasks import Task
from vwed.client.executor.worker import Worker
from vwed.client.identity import Token

Code = Callable[[Run], Awaitable[Result]] | Callable[[BlockingRun], Result]
CodeT = TypeVar("CodeT", bound=Code)


class Executor:
    """Claims runs under one name, and drives each by the code of its task.

    Example:
        executor = Executor("127.0.0.1:50051", "AMB-01", concurrency=2)

        @executor.task(task_types=["transport"])
        async def transport(run: Run) -> dict:
            for step in run.blocks:
                async with run.block(step) as block:
                    block.output = await drive(block.inputs["to"])
            return {"steps": len(run.blocks)}

        executor.run()

    Two processes at a time with one name would hear of each other's runs: give each its own.
    """

    def __init__(
        self,
        target: str,
        executor_id: str,
        *,
        lease: float = 30.0,
        concurrency: int = 1,
        grace: float = 20.0,
        tenant: str = "default",
        token: Token = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`target`, `tenant`, `token` and `credentials` are those of `connect`.

        `lease`: seconds, at least 1, after which others may take over a run whose executor is not
        heard of. `concurrency`: how many runs there may be at a time. `grace`: seconds that runs go
        on after SIGTERM before their code is cancelled.
        """
        if lease < 1:
            raise ValueError(f"a lease has at least 1 s, not {lease}")
        if concurrency < 1:
            raise ValueError(f"there is to be a run at a time, not {concurrency}")
        self._target = target
        self._executor_id = executor_id
        self._lease = lease
        self._concurrency = concurrency
        self._grace = grace
        self._tenant = tenant
        self._token = token
        self._credentials = credentials
        self._tasks: list[Task] = []

    def task(self, **filter: Any) -> Callable[[CodeT], CodeT]:  # noqa: A002 - the contract's own name for it
        """Declares the code of a task: `@executor.task(task_types=["transport"])`.

        The arguments are fields of TaskRecordFilter, those of no run in particular: all runs. An
        `async def` takes a Run. A plain `def` runs in a thread of its own, and takes a BlockingRun,
        whose calls block. What it returns, a dict or None, is the result of the run.

        Raises:
            ValueError: there is no such field, or it is `statuses`, which claims know themselves.
            TypeError: a field that is a list got a text.
        """
        for name, value in filter.items():
            field = TaskRecordFilter.DESCRIPTOR.fields_by_name.get(name)
            if field is not None and field.is_repeated and isinstance(value, str):
                # It would be taken for the list of its letters, which no run has.
                raise TypeError(f"{name} is a list: {name}=[{value!r}]")
        wanted = TaskRecordFilter(**filter)
        if wanted.statuses:
            raise ValueError("a task's filter has no statuses: claims look at what waits")

        def declare(code: CodeT) -> CodeT:
            self._tasks.append(Task(wanted, work_of(code)))
            return code

        return declare

    def run(self) -> None:
        """Claims and drives runs until SIGTERM or SIGINT, then as `serve` does when cancelled.

        A second signal ends the process at once.
        """
        asyncio.run(self._serve_until_signal())

    async def _serve_until_signal(self) -> None:
        serving = asyncio.create_task(self.serve())
        loop = asyncio.get_running_loop()
        with (
            stopping_on_signals(lambda: loop.call_soon_threadsafe(serving.cancel)),
            suppress(asyncio.CancelledError),
        ):
            await serving

    async def serve(self) -> None:
        """Claims and drives runs until cancelled.

        Then no more are claimed; those that there are go on for `grace` seconds. After that their
        code is cancelled, with `run.stop_reason` RELEASED, and they are handed back for others to
        take up. Cancelled a second time, it leaves everything as it is.

        Raises CallError if the service refuses the first claims for good: a filter or a name that
        it does not take, a token that it never took.
        """
        if not self._tasks:
            raise ValueError("the executor has no task: declare one with @executor.task()")
        async with self._worker() as (_, shift):
            await shift.work(self._grace)

    async def run_once(self, run_id: str) -> TaskRecord:
        """Starts one run, drives it to its end, and answers it: for scripts and notebooks.

        A run that this executor has already, since it was started anew, is gone on with. Cancelled,
        it hands the run back. If the run was lost on the way, the answer shows who has it.

        Raises CallError: RunTaken, IllegalTransition of a run that has ended, NotFound. LookupError
        if it is no run of the executor's tasks.
        """
        async with self._worker() as (client, shift):
            return await shift.drive_one(await self._task_of(client, run_id), run_id)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[tuple[Client, Worker]]:
        async with connect(
            self._target,
            tenant=self._tenant,
            actor=self._executor_id,
            token=self._token,
            credentials=self._credentials,
        ) as client:
            yield (
                client,
                Worker(
                    client,
                    self._tasks,
                    executor_id=self._executor_id,
                    lease=self._lease,
                    concurrency=self._concurrency,
                ),
            )

    async def _task_of(self, client: Client, run_id: str) -> Task:
        """The first task whose filter has the run; an only one is for any."""
        if len(self._tasks) == 1:
            return self._tasks[0]
        for task in self._tasks:
            wanted = TaskRecordFilter()
            wanted.CopyFrom(task.filter)
            if wanted.ids and run_id not in wanted.ids:
                continue
            wanted.ids[:] = [run_id]
            found = await client.records.ListTaskRecords(ListTaskRecordsRequest(filter=wanted))
            if found.task_records:
                return task
        raise LookupError(f"no task of the executor is for the run {run_id!r}")
