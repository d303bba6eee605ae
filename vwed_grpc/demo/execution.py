import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey, BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    FinishTaskRecordRequest,
    GetTaskRecordRequest,
    PauseTaskRecordRequest,
    ReportBlocksRequest,
)
from vwed.v1.task_def_service_pb2 import GetTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client import Client, persist
from vwed_grpc.demo.actions import Vehicle, act
from vwed_grpc.demo.failures import BlockFailed, RunCanceled
from vwed_grpc.demo.references import resolve
from vwed_grpc.demo.run_values import RunValues
from vwed_grpc.demo.walk import Body, Values, Visit, walk
from vwed_grpc.domain import lifecycle

RETRY_LABEL = "demo.retry-of"
"""On a run that was made anew for a failed one: that one's id."""

_LONG_SECONDS = 5.0
"""Longer actions say how far they are, a quarter at a time."""
_LOOK_SECONDS = 0.5
"""How often a robot that stands looks whether it may go on."""


class Execution:
    """One run in the hands of one robot: its blocks walked and reported, and the run finished.

    A run taken over from a lost executor is walked from the start, as the blocks' next attempt.
    `speed` is the factor by which actions take their time; 0: none.
    """

    def __init__(self, client: Client, run: TaskRecord, vehicle: Vehicle, speed: float) -> None:
        self._client = client
        self._run = run
        self._values = RunValues(client, run)
        self._vehicle = vehicle
        self._speed = speed
        self._attempt = int(run.lease_epoch)
        self._blocks_done = 0
        self._standing = asyncio.Lock()

    async def execute(self) -> None:
        """Raises what the service says if the run is no longer this robot's."""
        definition = await persist(
            self._client.definitions.GetTaskDef,
            GetTaskDefRequest(id=self._run.task_def_id, version=self._run.task_def_version),
        )
        try:
            await walk(MessageToDict(definition.config).get("blocks", []), self)
        except BlockFailed as failure:
            await self._finish(
                lifecycle.FAILED,
                error_code=failure.error_code,
                error_message=str(failure),
            )
        except RunCanceled:
            await self._finish(lifecycle.CANCELED)
        else:
            await self._finish(lifecycle.SUCCEEDED)

    async def announce(self, visits: Sequence[Visit]) -> None:
        pending = BlockRecordStatus.BLOCK_RECORD_STATUS_PENDING
        await self._report(*(self._record(visit, status=pending) for visit in visits))

    async def perform(self, visit: Visit, body: Body | None) -> None:
        inputs = await resolve(visit.block.get("inputs", {}), self._values.lookup(visit))
        save, fault = inputs.pop("save", {}), inputs.pop("fault", None)
        await self._report(
            self._record(
                visit,
                status=BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING,
                input_data=_struct(inputs),
            )
        )
        try:
            output = await (body(inputs) if body else self._act(visit, inputs, fault))
        except BlockFailed as failure:
            await self._report(
                self._record(
                    visit,
                    status=BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED,
                    error_message=str(failure),
                )
            )
            raise
        for key, field in save.items():
            await self._values.save(key, output[field])
        await self._report(
            self._record(
                visit,
                status=BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED,
                output_data=_struct(output),
                progress=1.0,
            )
        )
        self._blocks_done += 1

    async def _act(self, visit: Visit, inputs: Values, fault: Values | None) -> Values:
        try:
            outcome = act(visit.block["type"], self._vehicle, inputs)
        except (KeyError, TypeError) as exc:  # a definition that someone has changed
            raise BlockFailed("BAD_INPUT", f"{visit.block['id']}: {exc!r}") from exc
        steps = 4 if outcome.seconds > _LONG_SECONDS else 1
        for step in range(1, steps + 1):
            await asyncio.sleep(outcome.seconds / steps * self._speed)
            if step < steps:
                battery = f"电量 {self._vehicle.battery_percent} %"
                await self._report(self._record(visit, progress=step / steps, message=battery))
        if fault and self._run.attempt == 1 and RETRY_LABEL not in self._run.labels:
            raise BlockFailed(fault["error_code"], fault["message"])
        return outcome.output

    def _record(self, visit: Visit, **content: Any) -> BlockRecord:
        return BlockRecord(
            block_id=visit.block["id"],
            block_type=visit.block["type"],
            name=visit.block.get("name", ""),
            iteration=visit.iteration,
            attempt=self._attempt,
            robot_id=self._vehicle.robot_id,
            parent=self._key(visit.parent) if visit.parent else None,
            **content,
        )

    def _key(self, visit: Visit) -> BlockRecordKey:
        return BlockRecordKey(
            block_id=visit.block["id"], iteration=visit.iteration, attempt=self._attempt
        )

    async def _report(self, *records: BlockRecord) -> None:
        response = await persist(
            self._client.records.ReportBlocks,
            ReportBlocksRequest(
                task_record_id=self._run.id,
                block_records=records,
                executor_id=self._run.executor_id,
                lease_epoch=self._run.lease_epoch,
            ),
        )
        await self._obey(response.task_record_status)

    async def _obey(self, status: TaskRecordStatus.ValueType) -> None:
        """Stands still while the run is paused; raises RunCanceled if it is to end."""
        if status in (lifecycle.PAUSING, lifecycle.PAUSED):
            async with self._standing:  # branches of a parallel stop as they come by
                status = await self._stand()
        if status == lifecycle.CANCELING:
            raise RunCanceled

    async def _stand(self) -> TaskRecordStatus.ValueType:
        """Says that the robot has stopped, and waits until it may, or must, go on."""
        while True:
            run = await persist(
                self._client.records.GetTaskRecord, GetTaskRecordRequest(id=self._run.id)
            )
            if run.status == lifecycle.PAUSING:
                await self._say_paused(run.etag)
            elif run.status != lifecycle.PAUSED:
                return run.status
            await asyncio.sleep(_LOOK_SECONDS)

    async def _say_paused(self, etag: str) -> None:
        request = PauseTaskRecordRequest(
            id=self._run.id,
            executor_id=self._run.executor_id,
            lease_epoch=self._run.lease_epoch,
            etag=etag,
        )
        try:
            await persist(self._client.records.PauseTaskRecord, request)
        except grpc.aio.AioRpcError as exc:
            # It was resumed meanwhile: a pause would come from the robot itself, then.
            if exc.code() is not grpc.StatusCode.ABORTED:
                raise

    async def _finish(self, status: TaskRecordStatus.ValueType, **content: Any) -> None:
        result = {
            "robot_id": self._vehicle.robot_id,
            "blocks_done": self._blocks_done,
            "battery_percent": self._vehicle.battery_percent,
        }
        await persist(
            self._client.records.FinishTaskRecord,
            FinishTaskRecordRequest(
                id=self._run.id,
                status=status,
                result=_struct(result),
                executor_id=self._run.executor_id,
                lease_epoch=self._run.lease_epoch,
                **content,
            ),
        )


def _struct(values: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct
