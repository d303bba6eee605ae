"""Executors: each takes a run, reports its blocks in every way there is, and ends it."""

import asyncio
import random
import uuid
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    error_details_pb2,
    status_pb2,
)
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
    ReportBlockRequest,
    ReportBlocksRequest,
    ResumeTaskRecordRequest,
    StartTaskRecordRequest,
    StreamBlockReportsRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.faults.fleet import Fleet, Refused, seconds
from vwed_grpc.domain.lifecycle import (
    CANCELED,
    CANCELING,
    FAILED,
    FINAL,
    PAUSED,
    PAUSING,
    RUNNING,
    SUCCEEDED,
)

DOING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
DONE = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
BROKEN = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED

LEASE = 4.0
PAYLOAD = "x" * 700_000
TRY_AGAIN = (
    "STORE_UNAVAILABLE",
    "URGENT_CONNECTIONS",
    "LIVE_CONNECTIONS",
    "CONFLICT",
    "DEADLINE_EXCEEDED",
)
OVERTAKEN = ("BLOCK_IS_FINAL", "ILLEGAL_TRANSITION")
"""How a report is refused that had been taken before, when its blocks are beyond it by now."""


async def robot(fleet: Fleet, name: str) -> None:
    """Works until the fleet is over; what it still holds then, it ends."""
    rng = random.Random(fleet.random.random())
    while not fleet.over.is_set():
        try:
            run = await _next_run(fleet, name, rng)
            if run is not None:
                await _Shift(fleet, name, run, rng).work()
        except Refused as refusal:
            _expect(refusal)


def _reason(error: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in error.details:
        detail.Unpack(info)
    return str(info.reason)


def _expect(refusal: Refused) -> None:
    """Somebody else has the run, or has ended it: that is life. All else is not."""
    lost = ("LEASE_LOST", "RUN_NOT_REPORTABLE", "ILLEGAL_TRANSITION", "RUN_IS_FINAL", "RUN_TAKEN")
    if not refusal.reason.endswith(lost):
        raise refusal


async def _next_run(fleet: Fleet, name: str, rng: random.Random) -> TaskRecord | None:
    created = None
    if rng.random() < 0.7:
        parent = rng.choice(fleet.runs[-10:]) if fleet.runs and rng.random() < 0.2 else ""
        created = await fleet.create(
            priority=rng.randrange(3), parent_task_record_id=parent, labels={"by": name}
        )
    if created is not None and rng.random() < 0.4:
        started: TaskRecord = await fleet.ask(
            "StartTaskRecord",
            StartTaskRecordRequest(
                id=created.id, executor_id=name, lease=seconds(rng.choice([0, LEASE]))
            ),
        )
        return fleet.told.changed(started)
    answer = await fleet.ask(
        "ClaimTaskRecords",
        ClaimTaskRecordsRequest(
            executor_id=name,
            filter=TaskRecordFilter(task_def_ids=[fleet.task_def]),
            include_interrupted=True,
            lease=seconds(LEASE),
            wait=seconds(1),
            request_id=str(uuid.uuid4()),
        ),
    )
    return fleet.told.changed(answer.task_records[0]) if answer.task_records else None


class _Shift:
    """One robot's time with one run."""

    def __init__(self, fleet: Fleet, name: str, run: TaskRecord, rng: random.Random) -> None:
        self._fleet = fleet
        self._run = run.id
        self._fence: dict[str, Any] = {"executor_id": name, "lease_epoch": run.lease_epoch}
        # Of this shift's own: a retry from the failure has the blocks of the run before.
        self._prefix = f"{run.id[-8:]}-{run.lease_epoch}-"
        self._rng = rng
        self._blocks = 0
        self._status = run.status

    async def work(self) -> None:
        ways = [
            self._single,
            self._batch,
            self._doubled,
            self._stream,
            self._retried,
            self._beat,
        ]
        weights = [4, 4, 2, 3, 1, 2]
        for _ in range(self._rng.randrange(4, 16)):
            if self._fleet.over.is_set():
                break
            if self._status in FINAL:
                return
            if self._status == CANCELING:
                break
            if self._status in (PAUSING, PAUSED):
                await self._pause()
                continue
            (way,) = self._rng.choices(ways, weights)
            await way()
            if self._rng.random() < 0.02:
                await self._rng.choice([self._large, self._many])()
            await asyncio.sleep(self._rng.uniform(0, self._fleet.pause))
        await self._finish()

    def _block(
        self, status: BlockRecordStatus.ValueType, block_id: str, **given: Any
    ) -> BlockRecord:
        return BlockRecord(block_id=block_id, status=status, message=self._fleet.message(), **given)

    def _names(self, count: int) -> list[str]:
        self._blocks += count
        return [f"{self._prefix}{n}" for n in range(self._blocks - count, self._blocks)]

    async def _report(self, *blocks: BlockRecord) -> None:
        """In one report, alone or as a batch; what another try has overtaken is let go."""
        fleet = self._fleet
        try:
            if len(blocks) == 1:
                one = await fleet.ask(
                    "ReportBlock",
                    ReportBlockRequest(
                        task_record_id=self._run, block_record=blocks[0], **self._fence
                    ),
                )
                seqs = [one.seq]
                self._status = one.task_record_status
            else:
                answer = await fleet.ask(
                    "ReportBlocks",
                    ReportBlocksRequest(
                        task_record_id=self._run, block_records=blocks, **self._fence
                    ),
                )
                seqs, self._status = [*answer.seqs], answer.task_record_status
        except Refused as refusal:
            # The answer that was lost was a yes.
            if not (refusal.again and refusal.reason.endswith(OVERTAKEN)):
                raise
        else:
            fleet.told.reported(self._run, blocks, seqs)

    async def _single(self) -> None:
        (name,) = self._names(1)
        await self._report(self._block(DOING, name))
        if self._rng.random() < 0.5:
            await self._report(self._block(DOING, name, progress=self._rng.random()))
        data = Struct()
        data.update({"at": self._rng.random()})
        await self._report(self._block(DONE, name, output_data=data))

    async def _batch(self) -> None:
        names = self._names(self._rng.randrange(2, 20))
        await self._report(*(self._block(DOING, name) for name in names))
        await self._report(*(self._block(DONE, name) for name in names))

    async def _doubled(self) -> None:
        """Each block twice in one batch."""
        names = self._names(self._rng.randrange(1, 5))
        await self._report(*(self._block(s, name) for name in names for s in (DOING, DONE)))

    async def _retried(self) -> None:
        """A block that fails, and a second attempt below another block."""
        outer, inner = self._names(2)
        await self._report(self._block(DOING, outer), self._block(BROKEN, inner, iteration="1"))
        again = self._block(DONE, inner, iteration="1", attempt=2)
        again.parent.block_id = outer
        await self._report(again, self._block(DONE, outer))

    async def _large(self) -> None:
        """More than one message can hold in VIEW_FULL."""
        data = Struct()
        data.update({"scan": PAYLOAD})
        await self._report(*(self._block(DONE, n, output_data=data) for n in self._names(5)))

    async def _many(self) -> None:
        """More than the hub keeps."""
        await self._report(*(self._block(DONE, name) for name in self._names(1000)))

    async def _beat(self) -> None:
        record = await self._fleet.ask(
            "HeartbeatTaskRecord", HeartbeatTaskRecordRequest(id=self._run, **self._fence)
        )
        self._status = self._fleet.told.changed(record).status

    async def _stream(self) -> None:
        """Several batches under way at once; those without an answer are sent again, in order."""
        batches: dict[str, list[BlockRecord]] = {}
        for n in range(0, self._rng.randrange(2, 10), 2):
            names = self._names(self._rng.randrange(1, 6))
            for part, status in enumerate((DOING, DONE)):
                batches[str(n + part)] = [self._block(status, name) for name in names]
        again = False
        while batches:
            try:
                await self._send(batches, again=again)
            except grpc.aio.AioRpcError as exc:
                if (reason := self._fleet.refusal("StreamBlockReports", exc)) is not None:
                    raise Refused(reason, again=again) from None
                again = True
                await asyncio.sleep(self._rng.uniform(0.02, 0.3))

    async def _send(self, batches: dict[str, list[BlockRecord]], *, again: bool) -> None:
        """One stream; takes out of `batches` what was answered."""
        requests = [
            StreamBlockReportsRequest(
                task_record_id=self._run, batch_id=id_, block_records=blocks, **self._fence
            )
            for id_, blocks in batches.items()
        ]
        told = self._fleet.told
        client = self._rng.choice(self._fleet.clients)
        call = client.records.StreamBlockReports(iter(requests), timeout=10)
        try:
            async for answer in call:
                if not answer.HasField("error"):
                    told.reported(self._run, batches[answer.batch_id], answer.seqs)
                    told.verbs["StreamBlockReports"] += 1
                    self._status = answer.task_record_status
                elif (reason := self._met(answer.error)) in TRY_AGAIN:
                    told.lost_answers += 1
                    continue
                elif not (again and reason in OVERTAKEN):
                    told.refusals[f"StreamBlockReports {reason}"] += 1
                    raise Refused(f"FAILED_PRECONDITION {reason}", again=again)
                del batches[answer.batch_id]
        finally:
            call.cancel()

    def _met(self, error: status_pb2.Status) -> str:
        """The reason why a batch was refused."""
        reason = _reason(error)
        code = next(code.name for code in grpc.StatusCode if code.value[0] == error.code)
        self._fleet.meet("a batch of StreamBlockReports", f"{code} {reason}")
        return reason

    async def _pause(self) -> None:
        """The holder has stopped; somebody lets it go on."""
        fleet = self._fleet
        if self._status == PAUSING:
            request = PauseTaskRecordRequest(id=self._run, **self._fence)
            self._status = fleet.told.changed(await fleet.ask("PauseTaskRecord", request)).status
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        if self._rng.random() < 0.7:
            resume = ResumeTaskRecordRequest(id=self._run, reason="go on")
            self._status = fleet.told.changed(await fleet.ask("ResumeTaskRecord", resume)).status
        else:
            await self._beat()

    async def _finish(self) -> None:
        status = CANCELED if self._status == CANCELING else SUCCEEDED
        if status == SUCCEEDED and self._rng.random() < 0.3:
            status = FAILED
        if self._rng.random() < 0.3 and self._status == RUNNING:
            await self._report(self._block(DOING, *self._names(1)))  # left open: the end closes it
        request = FinishTaskRecordRequest(id=self._run, status=status, **self._fence)
        request.result.update({"by": self._prefix})
        self._fleet.told.changed(await self._fleet.ask("FinishTaskRecord", request))
