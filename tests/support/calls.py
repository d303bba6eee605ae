"""The calls that tests make most often, in one line each."""

from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from vwed.v1.cache_service_pb2 import (
    DeleteDataCacheRequest,
    GetDataCacheRequest,
    SetDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    FinishTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskDefRequest,
    DeleteTaskDefRequest,
    GetTaskDefRequest,
    UpdateTaskDefRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client import Client

SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


def json_object(**members: Any) -> Struct:
    value = Struct()
    value.update(members)
    return value


def stub_of(client: Client, request: Message) -> Any:
    """The RPC that takes such a request."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    services = (client.definitions, client.records, client.cache)
    return next(getattr(service, name) for service in services if hasattr(service, name))


async def create_def(client: Client, name: str = "transport", **given: Any) -> TaskDef:
    task_def = TaskDef(name=name, **given)
    return await client.definitions.CreateTaskDef(CreateTaskDefRequest(task_def=task_def))


async def create_whole_def(client: Client) -> TaskDef:
    """A definition with something in every field."""
    return await create_def(
        client,
        description="old",
        task_type="old",
        config=json_object(speed=1, blocks=[{"id": "a", "type": "drive"}]),
        labels={"zone": "A", "line": "1"},
        change_note="first",
    )


async def get_def(client: Client, id_: str, version: int = 0) -> TaskDef:
    return await client.definitions.GetTaskDef(GetTaskDefRequest(id=id_, version=version))


async def update_def(client: Client, task_def: TaskDef, *mask: str) -> TaskDef:
    request = UpdateTaskDefRequest(task_def=task_def)
    request.update_mask.paths.extend(mask)
    return await client.definitions.UpdateTaskDef(request)


async def delete_def(client: Client, id_: str, *, etag: str = "", force: bool = False) -> TaskDef:
    request = DeleteTaskDefRequest(id=id_, etag=etag, force=force)
    return await client.definitions.DeleteTaskDef(request)


async def create_run(client: Client, task_def_id: str, **given: Any) -> TaskRecord:
    record = TaskRecord(task_def_id=task_def_id, **given)
    return await client.records.CreateTaskRecord(CreateTaskRecordRequest(task_record=record))


async def start_run(client: Client, id_: str, executor_id: str = "robot-1") -> TaskRecord:
    return await client.records.StartTaskRecord(
        StartTaskRecordRequest(id=id_, executor_id=executor_id)
    )


async def finish_run(
    client: Client, id_: str, status: TaskRecordStatus.ValueType = SUCCEEDED, **given: Any
) -> TaskRecord:
    return await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=id_, status=status, **given)
    )


async def set_entry(client: Client, run: str, key: str, **given: Any) -> DataCache:
    """Sets an entry; `given` holds its value, and what else SetDataCache takes."""
    options = {name: given.pop(name) for name in [*given] if not name.endswith("_value")}
    entry = DataCache(task_record_id=run, key=key, **given)
    return await client.cache.SetDataCache(SetDataCacheRequest(data_cache=entry, **options))


async def get_entry(client: Client, run: str, key: str) -> DataCache:
    return await client.cache.GetDataCache(GetDataCacheRequest(task_record_id=run, key=key))


async def delete_entry(client: Client, run: str, key: str, **given: Any) -> None:
    await client.cache.DeleteDataCache(DeleteDataCacheRequest(task_record_id=run, key=key, **given))
