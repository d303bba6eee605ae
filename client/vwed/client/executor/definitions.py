from collections import OrderedDict
from dataclasses import dataclass

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import GetTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client.connection import Client
from vwed.client.executor.persistent_calls import PersistentCalls
from vwed.client.executor.steps import Step, steps_of

_KEPT = 100


@dataclass(frozen=True, slots=True)
class Pinned:
    definition: TaskDef
    steps: list[Step]


class Definitions:
    """The versions that runs are pinned to, the last of them kept: a version never changes."""

    def __init__(self, client: Client, calls: PersistentCalls) -> None:
        self._client = client
        self._calls = calls
        self._kept: OrderedDict[tuple[str, int], Pinned] = OrderedDict()

    async def of(self, record: TaskRecord) -> Pinned:
        """Raises CallError."""
        key = record.task_def_id, record.task_def_version
        if key not in self._kept:
            request = GetTaskDefRequest(id=key[0], version=key[1])
            answer = await self._calls.ask(self._client.definitions.GetTaskDef, request)
            self._kept[key] = Pinned(answer.response, steps_of(answer.response))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
