from collections.abc import Iterator

from vwed.v1 import cache_service_pb2 as c
from vwed.v1 import record_service_pb2 as r
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.bad_requests.request import FOREIGN, MISSING, RUN, BadRequest


def missing_runs() -> Iterator[BadRequest]:
    for id_ in ("nowhere", FOREIGN):
        block = BlockRecord(block_id="b")
        entry = DataCache(task_record_id=id_, key="k", int_value=1)
        for message in (
            r.GetTaskRecordRequest(id=id_),
            r.BatchGetTaskRecordsRequest(ids=[RUN, id_]),
            r.UpdateTaskRecordRequest(task_record=TaskRecord(id=id_, priority=3)),
            r.DeleteTaskRecordRequest(id=id_, force=True),
            r.StartTaskRecordRequest(id=id_, executor_id="robot-1"),
            r.HeartbeatTaskRecordRequest(id=id_),
            r.ReleaseTaskRecordRequest(id=id_, executor_id="robot-1", lease_epoch=1),
            r.PauseTaskRecordRequest(id=id_),
            r.ResumeTaskRecordRequest(id=id_),
            r.CancelTaskRecordRequest(id=id_, force=True, cascade=True),
            r.FinishTaskRecordRequest(id=id_, status=7),  # type: ignore[arg-type]  # SUCCEEDED
            r.RetryTaskRecordRequest(id=id_),
            r.SignalTaskRecordRequest(id=id_, name="go"),
            r.ReportBlockRequest(task_record_id=id_, block_record=block),
            r.ReportBlocksRequest(task_record_id=id_, block_records=[block]),
            r.GetBlockRecordRequest(task_record_id=id_, id="b"),
            r.ListBlockRecordsRequest(task_record_id=id_),
            r.ListTaskRecordEventsRequest(task_record_id=id_),
            c.SetDataCacheRequest(data_cache=entry),
            c.SetDataCacheRequest(data_cache=entry, if_absent=True),
            c.SetDataCacheRequest(data_cache=entry, if_version=1),
            c.BatchSetDataCacheRequest(
                task_record_id=id_, requests=[c.SetDataCacheRequest(data_cache=entry)]
            ),
            c.GetDataCacheRequest(task_record_id=id_, key="k"),
            c.BatchGetDataCacheRequest(task_record_id=id_, keys=["k"]),
            c.ListDataCacheRequest(task_record_id=id_),
            c.IncrementDataCacheRequest(task_record_id=id_, key="k", int_delta=1),
            c.TouchDataCacheRequest(task_record_id=id_, key="k"),
            c.DeleteDataCacheRequest(task_record_id=id_, key="k"),
            c.ClearDataCacheRequest(task_record_id=id_),
        ):
            method = message.DESCRIPTOR.name.removesuffix("Request")
            yield BadRequest(method, message, MISSING)
