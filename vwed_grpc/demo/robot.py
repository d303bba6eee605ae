import asyncio
from contextlib import suppress
from uuid import uuid4

import grpc
from google.protobuf.duration_pb2 import Duration
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed.client import Client, persist
from vwed_grpc.demo.actions import Vehicle
from vwed_grpc.demo.execution import Execution
from vwed_grpc.domain import lifecycle

_LEASE = Duration(seconds=30)
_HEARTBEAT_SECONDS = 10.0
_WAIT = Duration(seconds=5)


class Robot:
    """An executor that takes one run after another, of those with the given labels.

    It also takes over what a lost executor left behind, and outlives restarts of the server.
    """

    def __init__(
        self, client: Client, robot_id: str, *, labels: dict[str, str], speed: float
    ) -> None:
        self._client = client
        self._vehicle = Vehicle(robot_id)
        self._labels = labels
        self._speed = speed

    async def work(self) -> None:
        """Until cancelled; raises `grpc.aio.AioRpcError` for what persisting does not help."""
        while True:
            response = await persist(
                self._client.records.ClaimTaskRecords,
                ClaimTaskRecordsRequest(
                    executor_id=self._vehicle.robot_id,
                    filter=TaskRecordFilter(labels=self._labels),
                    include_interrupted=True,
                    lease=_LEASE,
                    wait=_WAIT,
                    request_id=str(uuid4()),  # an answer that was lost is given again
                ),
                timeout=_WAIT.seconds + 10.0,
            )
            for run in response.task_records:
                await self._drive(run)

    async def _drive(self, run: TaskRecord) -> None:
        heartbeat = asyncio.create_task(self._keep_alive(run))
        try:
            await Execution(self._client, run, self._vehicle, self._speed).execute()
        except grpc.aio.AioRpcError:
            if not await self._lost(run):
                raise
        finally:
            heartbeat.cancel()

    async def _keep_alive(self, run: TaskRecord) -> None:
        request = HeartbeatTaskRecordRequest(
            id=run.id,
            executor_id=run.executor_id,
            lease_epoch=run.lease_epoch,
            robot_id=self._vehicle.robot_id,
        )
        with suppress(grpc.aio.AioRpcError):  # the next report meets the same error, and says it
            while True:
                await persist(self._client.records.HeartbeatTaskRecord, request)
                await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _lost(self, run: TaskRecord) -> bool:
        """Whether an operator ended or deleted the run, or another robot took it over."""
        try:
            now = await persist(self._client.records.GetTaskRecord, GetTaskRecordRequest(id=run.id))
        except grpc.aio.AioRpcError as exc:
            return exc.code() is grpc.StatusCode.NOT_FOUND
        return now.status in lifecycle.FINAL or now.lease_epoch != run.lease_epoch
