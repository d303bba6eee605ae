"""A good request of every method, to be spoiled: by method."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1 import cache_service_pb2 as c
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordFilter, BlockRecordKey
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import json_object

DEF, TEMPLATE, RUN, ENDED, KEY = "def-1", "template-1", "run-1", "run-ended", "key-1"
"""What there is."""

CONFIG = json_object(
    inputs=[{"name": "to", "type": "string", "default": "A1"}],
    blocks=[{"id": "a", "type": "if", "children": {"default": [{"id": "b", "type": "drive"}]}}],
)
BLOCK = BlockRecord(
    block_id="b",
    input_data=json_object(to="A1"),
    output_data=json_object(moved=3),
    start_time=Timestamp(seconds=1),
    iteration="3.1",
    attempt=2,
    progress=0.5,
    parent=BlockRecordKey(block_id="a"),
)
PARENT = BlockRecord(block_id="a")
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
A_DAY = TimeRange(to=Timestamp(seconds=1_800_086_400))
getattr(A_DAY, "from").seconds = 1_800_000_000
RUNS = TaskRecordFilter(ids=[RUN], labels={"zone": "A"}, create_time=A_DAY, external_id_prefix="w")

MESSAGES: list[Message] = [
    t.CreateTaskDefRequest(task_def=TaskDef(name="new", config=CONFIG, labels={"zone": "A"})),
    t.GetTaskDefRequest(id=DEF, version=1),
    t.BatchGetTaskDefsRequest(ids=[DEF]),
    t.ListTaskDefsRequest(
        filter=t.TaskDefFilter(names=["new"], name_contains="n", labels={"zone": "A"})
    ),
    t.UpdateTaskDefRequest(
        task_def=TaskDef(id=DEF, description="new", config=CONFIG, labels={"zone": "A"}),
        update_mask=FieldMask(paths=["config", "labels"]),
    ),
    t.DeleteTaskDefRequest(id=DEF),
    t.UndeleteTaskDefRequest(id=DEF),
    t.EnableTaskDefRequest(id=DEF),
    t.DisableTaskDefRequest(id=DEF),
    t.ListTaskDefVersionsRequest(id=DEF),
    t.RollbackTaskDefRequest(id=DEF, version=1),
    t.DiffTaskDefVersionsRequest(id=DEF, from_version=1, to_version=2),
    t.CreateTaskTemplateRequest(task_template=TaskTemplate(name="new", config=CONFIG)),
    t.GetTaskTemplateRequest(id=TEMPLATE),
    t.ListTaskTemplatesRequest(filter=t.TaskTemplateFilter(names=["new"])),
    t.ListTaskTemplateVersionsRequest(id=TEMPLATE),
    t.UpdateTaskTemplateRequest(task_template=TaskTemplate(id=TEMPLATE, config=CONFIG)),
    t.DeleteTaskTemplateRequest(id="template-2"),
    t.UndeleteTaskTemplateRequest(id="template-2"),
    t.InstantiateTaskTemplateRequest(
        id=TEMPLATE,
        parameters=json_object(a=1),
        overrides=json_object(b=None),
        task_def=TaskDef(name="made"),
    ),
    t.ExportTaskDefsRequest(),
    t.ImportTaskDefsRequest(
        options=t.ImportTaskDefsOptions(
            conflict=t.ImportTaskDefsOptions.Conflict.CONFLICT_OVERWRITE
        )
    ),
    r.CreateTaskRecordRequest(
        task_record=TaskRecord(task_def_id=DEF, input=json_object(to="A1"), external_id="wms-1")
    ),
    r.GetTaskRecordRequest(id=RUN),
    r.BatchGetTaskRecordsRequest(ids=[RUN]),
    r.ListTaskRecordsRequest(filter=RUNS),
    r.UpdateTaskRecordRequest(
        task_record=TaskRecord(id=RUN, priority=3, labels={"zone": "A"}, pinned=True)
    ),
    r.DeleteTaskRecordRequest(id="run-9"),
    r.ClaimTaskRecordsRequest(executor_id="robot-1", lease=Duration(seconds=60), max_count=2),
    r.StartTaskRecordRequest(id=RUN, executor_id="robot-1", lease=Duration(seconds=60)),
    r.HeartbeatTaskRecordRequest(id=RUN, message="on my way", robot_id="r1"),
    r.ReleaseTaskRecordRequest(id="run-2", executor_id="robot-1", lease_epoch=1, reason="battery"),
    r.PauseTaskRecordRequest(id=RUN),
    r.ResumeTaskRecordRequest(id=RUN),
    r.CancelTaskRecordRequest(id="run-2"),
    r.FinishTaskRecordRequest(id="run-3", status=SUCCEEDED, result=json_object(moved=3)),
    r.RetryTaskRecordRequest(id=ENDED),
    r.SignalTaskRecordRequest(id=RUN, name="skip_block", payload=json_object(block="a")),
    r.SummarizeTaskRecordsRequest(filter=RUNS, end_time=A_DAY, time_zone="UTC"),
    r.SummarizeBlockRecordsRequest(filter=RUNS, end_time=A_DAY),
    r.PruneTaskRecordsRequest(ended_before=Timestamp(seconds=1)),
    r.ReportBlockRequest(task_record_id=RUN, block_record=PARENT),
    r.ReportBlocksRequest(task_record_id=RUN, block_records=[PARENT, BLOCK]),
    r.StreamBlockReportsRequest(task_record_id=RUN, block_records=[PARENT, BLOCK]),
    r.GetBlockRecordRequest(task_record_id=RUN, id="b"),
    r.ListBlockRecordsRequest(task_record_id=RUN, filter=BlockRecordFilter(block_ids=["b"])),
    r.ListTaskRecordEventsRequest(task_record_id=RUN, after_seq=1),
    r.WatchTaskRecordRequest(
        task_record_id=RUN, after_seq=1, bookmark_interval=Duration(seconds=1)
    ),
    r.WatchTaskRecordsRequest(
        filter=TaskRecordFilter(ids=[RUN]),
        include_blocks=True,
        bookmark_interval=Duration(seconds=1),
    ),
    c.SetDataCacheRequest(
        data_cache=DataCache(task_record_id=RUN, key=KEY, json_value=Value(number_value=1)),
        ttl=Duration(seconds=60),
    ),
    c.GetDataCacheRequest(task_record_id=RUN, key=KEY),
    c.BatchSetDataCacheRequest(
        task_record_id=RUN,
        requests=[
            c.SetDataCacheRequest(data_cache=DataCache(task_record_id=RUN, key=KEY, int_value=1))
        ],
    ),
    c.BatchGetDataCacheRequest(task_record_id=RUN, keys=[KEY, "nothing"]),
    c.ListDataCacheRequest(task_record_id=RUN, key_prefix="key"),
    c.IncrementDataCacheRequest(task_record_id=RUN, key="count", int_delta=1, initial=3),
    c.TouchDataCacheRequest(task_record_id=RUN, key=KEY, ttl=Duration(seconds=60)),
    c.DeleteDataCacheRequest(task_record_id=RUN, key=KEY),
    c.ClearDataCacheRequest(task_record_id=RUN, key_prefix="nothing"),
]
VALID = {message.DESCRIPTOR.name.removesuffix("Request"): message for message in MESSAGES}
