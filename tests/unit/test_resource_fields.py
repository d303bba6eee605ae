"""The contract's data model, and the calls on definitions and entries, against the protos.

More than what stands here may be added to them; nothing of it may be missing or of another kind.
"""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from vwed.v1 import cache_service_pb2 as cache
from vwed.v1 import task_def_service_pb2 as definitions
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

VERSIONED = """
    id: string, name: string, description: string, task_type: string, config: Struct,
    version: int32, labels: map, created_by: string, change_note: string, create_time: Timestamp,
    update_time: Timestamp, delete_time: Timestamp, etag: string
"""
RESOURCES: list[tuple[Descriptor, str]] = [
    (
        TaskDef.DESCRIPTOR,
        f"""{VERSIONED},
    status: TaskDefStatus, task_template_id: string, task_template_version: int32
""",
    ),
    (TaskTemplate.DESCRIPTOR, f"{VERSIONED}, parameters_schema: Struct"),
    (
        TaskRecord.DESCRIPTOR,
        """
    id: string, task_def_id: string, status: TaskRecordStatus, result: Struct,
    start_time: Timestamp, end_time: Timestamp, error_message: string,
    task_def_version: int32, task_def_name: string, task_type: string, input: Struct,
    error_code: string, executor_id: string, lease_epoch: int64, lease_expire_time: Timestamp,
    robot_id: string, message: string, priority: int32, external_id: string, labels: map,
    parent_task_record_id: string, parent_block_record_id: string, root_task_record_id: string,
    retry_of: string, attempt: int32, block_counts: BlockCounts, progress: double, seq: int64,
    pinned: bool, created_by: string, status_actor: string, status_reason: string,
    create_time: Timestamp, update_time: Timestamp, etag: string
""",
    ),
    (
        BlockCounts.DESCRIPTOR,
        """
    pending: int32, running: int32, paused: int32, succeeded: int32, failed: int32,
    skipped: int32, canceled: int32, total: int32
""",
    ),
    (
        BlockRecord.DESCRIPTOR,
        """
    id: string, task_record_id: string, block_id: string, block_type: string,
    status: BlockRecordStatus, input_data: Struct, output_data: Struct, start_time: Timestamp,
    end_time: Timestamp, name: string, parent_block_record_id: string, iteration: string,
    attempt: int32, robot_id: string, message: string, error_message: string, progress: double,
    first_seq: int64, seq: int64, create_time: Timestamp, update_time: Timestamp
""",
    ),
    (
        DataCache.DESCRIPTOR,
        """
    id: string, task_record_id: string, key: string, type: DataCacheType, expire_time: Timestamp,
    version: int64, create_time: Timestamp, update_time: Timestamp,
    string_value: string, int_value: int64, double_value: double, bool_value: bool,
    bytes_value: bytes, json_value: Value, time_value: Timestamp
""",
    ),
]
ENUMS: list[tuple[EnumDescriptor, str, str]] = [
    (TaskDefStatus.DESCRIPTOR, "TASK_DEF_STATUS", "DRAFT ENABLED DISABLED"),
    (
        TaskRecordStatus.DESCRIPTOR,
        "TASK_RECORD_STATUS",
        "PENDING RUNNING PAUSING PAUSED CANCELING INTERRUPTED SUCCEEDED FAILED CANCELED",
    ),
    (
        BlockRecordStatus.DESCRIPTOR,
        "BLOCK_RECORD_STATUS",
        "PENDING RUNNING PAUSED SUCCEEDED FAILED SKIPPED CANCELED",
    ),
    (
        DataCacheType.DESCRIPTOR,
        "DATA_CACHE_TYPE",
        "STRING_VALUE INT_VALUE DOUBLE_VALUE BOOL_VALUE BYTES_VALUE JSON_VALUE TIME_VALUE",
    ),
    (definitions.TaskDefChange.Kind.DESCRIPTOR, "KIND", "ADDED REMOVED CHANGED MOVED"),
    (
        definitions.ImportTaskDefsOptions.Conflict.DESCRIPTOR,
        "CONFLICT",
        "SKIP OVERWRITE FAIL",
    ),
]
CALLS = {
    definitions: """
CreateTaskDef task_def -> TaskDef
GetTaskDef id version -> TaskDef
BatchGetTaskDefs ids -> task_defs
ListTaskDefs filter show_deleted -> task_defs
UpdateTaskDef task_def update_mask -> TaskDef
DeleteTaskDef id force -> TaskDef
UndeleteTaskDef id -> TaskDef
EnableTaskDef id -> TaskDef
DisableTaskDef id -> TaskDef
ListTaskDefVersions id -> task_def_versions
RollbackTaskDef id version -> TaskDef
DiffTaskDefVersions id from_version to_version -> changes
CreateTaskTemplate task_template -> TaskTemplate
GetTaskTemplate id version -> TaskTemplate
ListTaskTemplates filter show_deleted -> task_templates
ListTaskTemplateVersions id -> task_template_versions
UpdateTaskTemplate task_template update_mask -> TaskTemplate
DeleteTaskTemplate id -> TaskTemplate
UndeleteTaskTemplate id -> TaskTemplate
InstantiateTaskTemplate id version parameters overrides task_def -> TaskDef
ExportTaskDefs -> stream task_def task_template
ImportTaskDefs stream options task_def task_template -> created updated skipped errors
""",
    cache: """
SetDataCache data_cache expire_time ttl if_absent if_version -> DataCache
GetDataCache task_record_id key -> DataCache
BatchSetDataCache task_record_id requests -> data_caches
BatchGetDataCache task_record_id keys -> data_caches missing_keys
ListDataCache task_record_id key_prefix -> data_caches
IncrementDataCache task_record_id key int_delta double_delta initial -> DataCache
TouchDataCache task_record_id key expire_time ttl -> DataCache
DeleteDataCache task_record_id key if_version -> Empty
ClearDataCache task_record_id key_prefix -> deleted_count
""",
}
"""Method, what its request has, and what it answers: a message, or what that has."""
FILTERS: list[tuple[Descriptor, str]] = [
    (
        definitions.TaskDefFilter.DESCRIPTOR,
        "names name_contains task_types statuses task_template_ids labels",
    ),
    (definitions.TaskTemplateFilter.DESCRIPTOR, "names name_contains task_types labels"),
]
ONEOFS: list[tuple[Descriptor, str, str]] = [
    (
        DataCache.DESCRIPTOR,
        "value",
        "string_value int_value double_value bool_value bytes_value json_value time_value",
    ),
    (cache.SetDataCacheRequest.DESCRIPTOR, "expiration", "expire_time ttl"),
    (cache.SetDataCacheRequest.DESCRIPTOR, "precondition", "if_absent if_version"),
    (cache.IncrementDataCacheRequest.DESCRIPTOR, "delta", "int_delta double_delta"),
    (cache.TouchDataCacheRequest.DESCRIPTOR, "expiration", "expire_time ttl"),
]
SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
}


def kind(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return "map" if field.message_type.GetOptions().map_entry else field.message_type.name
    return field.enum_type.name if field.enum_type is not None else SCALARS[field.type]


@pytest.mark.parametrize(("resource", "fields"), RESOURCES)
def test_a_resource_has_its_fields(resource: Descriptor, fields: str) -> None:
    expected = dict(each.strip().split(": ") for each in fields.split(","))
    found = {field.name: kind(field) for field in resource.fields}
    assert found.items() >= expected.items()


@pytest.mark.parametrize(("enum", "prefix", "names"), ENUMS)
def test_an_enum_has_its_values_and_bears_its_name(
    enum: EnumDescriptor, prefix: str, names: str
) -> None:
    expected = [f"{prefix}_UNSPECIFIED", *(f"{prefix}_{name}" for name in names.split())]
    assert [value.name for value in enum.values] == expected


def calls() -> Iterator[tuple[str, str, list[str], list[str]]]:
    for module, text in CALLS.items():
        (service,) = module.DESCRIPTOR.services_by_name
        for line in text.strip().splitlines():
            asked, answered = line.split("->")
            name, *request = asked.split()
            yield service, name, request, answered.split()


@pytest.mark.parametrize(("service", "name", "request_", "answer"), [*calls()])
def test_a_call_takes_and_answers_what_it_should(
    service: str, name: str, request_: list[str], answer: list[str]
) -> None:
    module = definitions if service == "TaskDefService" else cache
    method = module.DESCRIPTOR.services_by_name[service].methods_by_name[name]
    for message, fields, streams in (
        (method.input_type, request_, method.client_streaming),
        (method.output_type, answer, method.server_streaming),
    ):
        assert streams == ("stream" in fields)
        there = {message.name, *message.fields_by_name}
        assert there >= {*fields} - {"stream"}


@pytest.mark.parametrize(("filter_", "fields"), FILTERS)
def test_a_filter_asks_for_its_fields(filter_: Descriptor, fields: str) -> None:
    assert {*filter_.fields_by_name} >= {*fields.split()}


@pytest.mark.parametrize(("message", "name", "fields"), ONEOFS)
def test_of_these_one_is_set(message: Descriptor, name: str, fields: str) -> None:
    assert [field.name for field in message.oneofs_by_name[name].fields] == fields.split()
