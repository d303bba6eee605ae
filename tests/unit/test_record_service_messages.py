"""RecordService's messages have the fields that the contract names, with its types and oneofs."""

import pytest
from google.protobuf.descriptor import FieldDescriptor
from vwed.v1 import (
    block_record_pb2,
    record_service_pb2,
    task_record_event_pb2,
    task_record_pb2,
)

MESSAGES = {
    name: message
    for module in (record_service_pb2, task_record_pb2, block_record_pb2, task_record_event_pb2)
    for name, message in module.DESCRIPTOR.message_types_by_name.items()
}
TYPES = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
}
LIST = "filter, int32 page_size, string page_token, string order_by, View view, bool include_total"
FENCE = "string executor_id, int64 lease_epoch"
FIELDS = {
    "CreateTaskRecordRequest": "TaskRecord task_record, bool unique_external_id, string request_id,"
    " bool validate_only",
    "GetTaskRecordRequest": "string id",
    "BatchGetTaskRecordsRequest": "string* ids, View view",
    "BatchGetTaskRecordsResponse": "TaskRecord* task_records",
    "ListTaskRecordsRequest": f"TaskRecordFilter {LIST}",
    "ListTaskRecordsResponse": "TaskRecord* task_records, string next_page_token, int64 total_size",
    "UpdateTaskRecordRequest": "TaskRecord task_record, FieldMask update_mask, bool validate_only",
    "DeleteTaskRecordRequest": "string id, bool force, string etag, string reason",
    "ClaimTaskRecordsRequest": "string executor_id, TaskRecordFilter filter, bool"
    " include_interrupted, Duration lease, int32 max_count, Duration wait, string request_id",
    "ClaimTaskRecordsResponse": "TaskRecord* task_records",
    "StartTaskRecordRequest": "string id, string executor_id, Duration lease, string etag,"
    " string reason",
    "HeartbeatTaskRecordRequest": f"string id, {FENCE}, string message, string robot_id",
    "ReleaseTaskRecordRequest": f"string id, {FENCE}, string reason, string etag",
    "PauseTaskRecordRequest": f"string id, {FENCE}, string reason, string etag",
    "ResumeTaskRecordRequest": "string id, string reason, string etag",
    "CancelTaskRecordRequest": "string id, string reason, bool force, bool cascade, string etag",
    "FinishTaskRecordRequest": f"string id, TaskRecordStatus status, Struct result, {FENCE},"
    " string error_message, string error_code, string etag, string reason",
    "RetryTaskRecordRequest": "string id, Mode mode, int32 task_def_version, string request_id,"
    " bool unique_external_id, string etag, string reason",
    "SignalTaskRecordRequest": "string id, string name, string block_record_id, Struct payload,"
    " string reason, string request_id, string etag",
    "SummarizeTaskRecordsRequest": "TaskRecordFilter filter, TimeRange end_time, GroupBy* group_by,"
    " string time_zone",
    "TaskRecordSummary": "int64 count, double success_rate, DurationFigures queue_time,"
    " DurationFigures duration",
    "SummarizeBlockRecordsRequest": "TaskRecordFilter filter, TimeRange end_time",
    "BlockRecordSummary": "string block_type, int64 count, double failure_rate,"
    " DurationFigures duration",
    "DurationFigures": "Duration p50, Duration p95, Duration max",
    "PruneTaskRecordsRequest": "Timestamp ended_before, TaskRecordStatus* statuses, bool dry_run",
    "PruneTaskRecordsResponse": "int32 pruned, bool more",
    "TaskRecordFilter": "string* ids, string* task_def_ids, string* task_def_names,"
    " string* task_types, TaskRecordStatus* statuses, string* error_codes, string* external_ids,"
    " string external_id_prefix, string* executor_ids, string* robot_ids,"
    " string parent_task_record_id, string root_task_record_id, string retry_of,"
    " LabelsEntry* labels, TimeRange create_time, TimeRange start_time, TimeRange end_time",
    "ReportBlockRequest": f"string task_record_id, BlockRecord block_record, {FENCE}",
    "ReportBlockResponse": "BlockRecord block_record, int64 seq,"
    " TaskRecordStatus task_record_status",
    "ReportBlocksRequest": f"string task_record_id, BlockRecord* block_records, {FENCE}",
    "ReportBlocksResponse": "BlockRecord* block_records, int64* seqs,"
    " TaskRecordStatus task_record_status",
    "StreamBlockReportsRequest": f"string task_record_id, BlockRecord* block_records, {FENCE},"
    " string batch_id",
    "StreamBlockReportsResponse": "string batch_id, int64* seqs,"
    " TaskRecordStatus task_record_status, Status error",
    "GetBlockRecordRequest": "string task_record_id, string id",
    "ListBlockRecordsRequest": f"string task_record_id, BlockRecordFilter {LIST}",
    "ListBlockRecordsResponse": "BlockRecord* block_records, string next_page_token,"
    " int64 total_size",
    "BlockRecordFilter": "BlockRecordStatus* statuses, string* block_ids, string* block_types,"
    " string parent_block_record_id, string iteration_prefix, string* robot_ids,"
    " bool latest_attempt_only",
    "ListTaskRecordEventsRequest": "string task_record_id, int64 after_seq, int32 page_size,"
    " string page_token, View view",
    "ListTaskRecordEventsResponse": "TaskRecordEvent* events, string next_page_token",
    "TaskRecordEvent": "string task_record_id, int64 seq, Timestamp event_time, string actor,"
    " string reason, BlockCounts block_counts, double progress, TaskRecord task_record,"
    " BlockRecord block_record, TaskRecordSignal signal, TaskRecordDeleted deleted",
    "TaskRecordSignal": "string name, string block_record_id, Struct payload",
    "WatchTaskRecordRequest": "string task_record_id, int64 after_seq, View view,"
    " Duration bookmark_interval",
    "WatchTaskRecordResponse": "TaskRecordEvent* events, bool snapshot, bool more,"
    " int64 bookmark_seq",
    "WatchTaskRecordsRequest": "TaskRecordFilter filter, bool include_blocks, string resume_token,"
    " View view, Duration bookmark_interval",
    "WatchTaskRecordsResponse": "TaskRecordEvent* events, bool snapshot, bool more,"
    " string resume_token",
}
"""Of each message what the contract names, with `*` for many; there may be more."""


def fields(message: str) -> set[str]:
    return {
        f"{_type(field)}{'*' if field.is_repeated else ''} {field.name}"
        for field in MESSAGES[message].fields
    }


def _type(field: FieldDescriptor) -> str:
    made = field.message_type or field.enum_type
    return made.name if made else TYPES[field.type]


@pytest.mark.parametrize("message", FIELDS)
def test_the_fields_are_those_of_the_contract(message: str) -> None:
    assert set(FIELDS[message].split(", ")) - fields(message) == set()


def test_an_event_is_of_one_change() -> None:
    (change,) = (each for each in MESSAGES["TaskRecordEvent"].oneofs if len(each.fields) > 1)
    assert {field.name for field in change.fields} == {
        *("task_record", "block_record", "signal", "deleted")
    }


def test_a_watch_from_the_beginning_is_not_one_from_the_present() -> None:
    """So after_seq 0 can be told from none."""
    assert MESSAGES["WatchTaskRecordRequest"].fields_by_name["after_seq"].has_presence


def test_every_message_of_the_service_is_looked_at() -> None:
    (service,) = record_service_pb2.DESCRIPTOR.services_by_name.values()
    named = {kind.name for rpc in service.methods for kind in (rpc.input_type, rpc.output_type)}
    summaries = {"SummarizeTaskRecordsResponse", "SummarizeBlockRecordsResponse"}  # but for these
    assert named - FIELDS.keys() == summaries | {"TaskRecord", "BlockRecord", "Empty"}
