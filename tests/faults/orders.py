"""Runs for executors: somebody wants them done, and has those go on that somebody paused."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import Struct
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest, ResumeTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.faults.fleet import Fleet, Refused
from vwed_grpc.domain.lifecycle import OPEN, PAUSED, PAUSING, PENDING, RUNNING, Status

LOOK_SECONDS = 0.25
END_SECONDS = 30.0
"""After the last order and the last fault, far more than what is begun takes, and leases that ran
out."""


def _block(name: str, kind: str = "single", **branches: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "children": branches}


CONFIG = {
    "blocks": [
        _block("first"),
        _block("loop", "loop", each=[_block("pick"), _block("place")]),
        _block("fork", "fork", left=[_block("l1"), _block("l2")], right=[_block("r1")]),
        _block("last"),
    ]
}


class Orders:
    """Of task types that executors alone claim."""

    def __init__(
        self, fleet: Fleet, waiting: Mapping[str, int], look: float = LOOK_SECONDS
    ) -> None:
        """`waiting`: task type -> how many runs of it are to be there for whoever is free.

        Somebody looks every `look` seconds.
        """
        self._fleet = fleet
        self._waiting = waiting
        self._look = look
        self._definitions: dict[str, str] = {}
        self._rng = random.Random(fleet.random.random())

    async def define(self) -> None:
        config = Struct()
        config.update(CONFIG)
        for task_type in self._waiting:
            self._definitions[task_type] = await self._fleet.new_definition(config, task_type)

    async def go_on(self) -> None:
        """Until the fleet is over."""
        while not self._fleet.over.is_set():
            found = await self._runs([PENDING, RUNNING, PAUSING, PAUSED])
            self._fleet.busy = [run.id for run in found if run.status == RUNNING]
            pending = Counter(run.task_type for run in found if run.status == PENDING)
            missing = Counter(self._waiting) - pending
            await asyncio.gather(*map(self._order, missing.elements()))
            await self._resume([run for run in found if self._rng.random() < 0.3])
            await asyncio.sleep(self._look)

    async def _order(self, task_type: str) -> None:
        definition = self._definitions[task_type]
        await self._fleet.create(task_def_id=definition, priority=self._rng.randrange(3))

    async def end(self) -> float:
        """Waits until executors have ended everything. Answers the seconds that it took."""
        took, began = 0.0, time.monotonic()
        while (found := await self._runs(sorted(OPEN))) and took < END_SECONDS:
            await self._resume(found)
            await asyncio.sleep(LOOK_SECONDS)
            took = time.monotonic() - began
        return took

    async def every(self) -> list[str]:
        """The ids of all that there ever were."""
        return [run.id for run in await self._runs([])]

    async def _resume(self, found: Sequence[TaskRecord]) -> None:
        for run in found:
            if run.status in (PAUSING, PAUSED):
                try:
                    answer = await self._fleet.ask(
                        "ResumeTaskRecord", ResumeTaskRecordRequest(id=run.id, reason="go on")
                    )
                except Refused as refusal:
                    if not refusal.reason.endswith("ILLEGAL_TRANSITION"):
                        raise
                else:
                    self._fleet.told.changed(answer)

    async def _runs(self, statuses: Sequence[Status]) -> list[TaskRecord]:
        wanted = TaskRecordFilter(task_types=[*self._waiting], statuses=statuses)
        request = ListTaskRecordsRequest(filter=wanted, page_size=1000, order_by="create_time")
        found: list[TaskRecord] = []
        while True:
            answer = await self._fleet.ask("ListTaskRecords", request)
            found += answer.task_records
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token
