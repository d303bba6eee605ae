"""The resources that the register checker's clients read and write."""

import random
import time
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from vwed.v1.cache_service_pb2 import (
    DeleteDataCacheRequest,
    GetDataCacheRequest,
    IncrementDataCacheRequest,
    SetDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskDefRequest,
    GetTaskDefRequest,
    UpdateTaskDefRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import seconds
from vwed.client import Client

CALL_SECONDS = 5.0
STRONG = (("x-vwed-consistency", "strong"),)


class State(NamedTuple):
    order: int | None
    token: str = ""
    expires: float | None = None


class Register(ABC):
    """One resource; `name` is its id."""

    bound = 7.0
    pause = 0.3
    """Seconds between a writer's writes, about."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends: list[tuple[float, int]] = []
        """Since when it may be absent, and the order of that absence."""

    @abstractmethod
    async def read(self, client: Client, *, strong: bool) -> State:
        """What a client is answered."""

    @abstractmethod
    async def write(self, client: Client, token: str) -> int:
        """Writes something, with the token if it can; answers the order of the new state."""


class Definition(Register):
    bound = 62.0

    async def read(self, client: Client, *, strong: bool) -> State:
        found = await client.definitions.GetTaskDef(
            GetTaskDefRequest(id=self.name), timeout=CALL_SECONDS, metadata=STRONG * strong
        )
        return State(2 * found.version, found.description)

    async def write(self, client: Client, token: str) -> int:
        request = UpdateTaskDefRequest(
            task_def=TaskDef(id=self.name, description=token),
            update_mask=FieldMask(paths=["description"]),
        )
        answer = await client.definitions.UpdateTaskDef(request, timeout=CALL_SECONDS)
        return 2 * answer.version


class Run(Register):
    async def read(self, client: Client, *, strong: bool) -> State:
        found = await client.records.GetTaskRecord(
            GetTaskRecordRequest(id=self.name), timeout=CALL_SECONDS, metadata=STRONG * strong
        )
        return State(2 * found.seq, found.labels.get("token", ""))

    async def write(self, client: Client, token: str) -> int:
        request = UpdateTaskRecordRequest(
            task_record=TaskRecord(id=self.name, labels={"token": token}),
            update_mask=FieldMask(paths=["labels"]),
        )
        answer = await client.records.UpdateTaskRecord(request, timeout=CALL_SECONDS)
        return 2 * answer.seq


class Entry(Register):
    """Set, and deleted now and then."""

    def __init__(self, run: str, key: str) -> None:
        super().__init__(f"{run} {key}")
        self.run, self.key = run, key

    async def read(self, client: Client, *, strong: bool) -> State:
        try:
            found = await client.cache.GetDataCache(
                GetDataCacheRequest(task_record_id=self.run, key=self.key),
                timeout=CALL_SECONDS,
                metadata=STRONG * strong,
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return State(None)
        return State(2 * found.version, found.string_value, _end(found))

    async def write(self, client: Client, token: str) -> int:
        if random.random() < 0.2:
            state = await self.read(client, strong=True)
            if state.order is not None:
                return await self._delete(client, state.order)
        return await self._set(client, token)

    async def _delete(self, client: Client, order: int) -> int:
        self.ends.append((time.time(), order + 1))
        request = DeleteDataCacheRequest(
            task_record_id=self.run, key=self.key, if_version=order // 2
        )
        await client.cache.DeleteDataCache(request, timeout=CALL_SECONDS)
        return order + 1

    async def _set(self, client: Client, token: str, **options: Any) -> int:
        entry = DataCache(task_record_id=self.run, key=self.key, string_value=token)
        request = SetDataCacheRequest(data_cache=entry, **options)
        answer = await client.cache.SetDataCache(request, timeout=CALL_SECONDS)
        order = 2 * answer.version
        if (end := _end(answer)) is not None:
            self.ends.append((end, order + 1))
        return order


class ShortLived(Entry):
    """Expires, sometimes before it is set again, with and without having been in Redis.

    In its last second it is read from PostgreSQL alone, so more of it would say little of the rest.
    """

    pause = 5.0

    async def write(self, client: Client, token: str) -> int:
        return await self._set(client, token, ttl=seconds(random.uniform(0.1, 2.5)))


class Counter(Entry):
    async def write(self, client: Client, token: str) -> int:  # noqa: ARG002 - a count has no room for it
        request = IncrementDataCacheRequest(task_record_id=self.run, key=self.key, int_delta=1)
        answer = await client.cache.IncrementDataCache(request, timeout=CALL_SECONDS)
        return 2 * answer.version


def _end(entry: DataCache) -> float | None:
    return entry.expire_time.ToNanoseconds() / 1e9 if entry.HasField("expire_time") else None


async def create(client: Client) -> list[Register]:
    """A few of each."""
    registers: list[Register] = []
    for n in range(2):
        config = Struct()
        config.update({"blocks": [{"id": f"b{i}", "type": "move"} for i in range(20)]})
        made = await client.definitions.CreateTaskDef(
            CreateTaskDefRequest(task_def=TaskDef(name=f"register-{n}", config=config))
        )
        run = await client.records.CreateTaskRecord(
            CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=made.id))
        )
        registers += [Definition(made.id), Run(run.id), Entry(run.id, "plain")]
        registers.append(ShortLived(run.id, "short") if n else Counter(run.id, "count"))
    registers.append(ShortLived(registers[1].name, "short"))
    return registers
