from collections.abc import Iterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.block_record_pb2 import BlockRecordFilter
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.bad_requests.request import INVALID, RUN, BadRequest


def lists() -> Iterator[BadRequest]:
    def definitions_by(field: str, **given: Any) -> BadRequest:
        return BadRequest("ListTaskDefs", t.ListTaskDefsRequest(**given), INVALID, (field,))

    yield definitions_by("page_size", page_size=-1)
    yield definitions_by("page_token", page_token="x")
    yield definitions_by("page_token", page_token="\0")
    for order_by in ("colour", "config", "name desc desc", "name; DROP TABLE task_defs", "id, id"):
        yield definitions_by("order_by", order_by=order_by)
    yield definitions_by("order_by", order_by="(SELECT 1)")
    yield definitions_by("view", view=99)
    yield definitions_by("filter.statuses[0]", filter=t.TaskDefFilter(statuses=[99]))  # type: ignore[list-item]  # not a status
    yield definitions_by("filter.statuses[0]", filter=t.TaskDefFilter(statuses=[0]))  # type: ignore[list-item]  # the same
    yield definitions_by("filter.names", filter=t.TaskDefFilter(names=["x"] * 1_001))
    yield definitions_by("filter.names[1]", filter=t.TaskDefFilter(names=["x", "\0"]))
    yield definitions_by("filter.name_contains", filter=t.TaskDefFilter(name_contains="\0"))
    yield definitions_by('filter.labels["a"]', filter=t.TaskDefFilter(labels={"a": "\0"}))

    def runs_by(field: str, **given: Any) -> BadRequest:
        request = r.ListTaskRecordsRequest(filter=TaskRecordFilter(**given))
        return BadRequest("ListTaskRecords", request, INVALID, (f"filter.{field}",))

    yield runs_by("statuses[1]", statuses=[1, -1])
    yield runs_by("ids", ids=["x"] * 1_001)
    yield runs_by("external_id_prefix", external_id_prefix="x" * 257)
    yield runs_by("create_time.to", create_time=TimeRange(to=Timestamp(nanos=-1)))
    yield runs_by("create_time.to", create_time=TimeRange(to=Timestamp(nanos=-(2**31) + 1)))
    yield runs_by("end_time.to", end_time=TimeRange(to=Timestamp(seconds=2**62)))

    def blocks_by(field: str, **given: Any) -> BadRequest:
        request = r.ListBlockRecordsRequest(task_record_id=RUN, filter=BlockRecordFilter(**given))
        return BadRequest("ListBlockRecords", request, INVALID, (f"filter.{field}",))

    yield blocks_by("statuses[0]", statuses=[42])
    yield blocks_by("block_ids[0]", block_ids=["\0"])
    yield blocks_by("iteration_prefix", iteration_prefix="3" * 129)
    yield BadRequest(
        "ListTaskRecordEvents",
        r.ListTaskRecordEventsRequest(task_record_id=RUN, after_seq=-1),
        INVALID,
        ("after_seq",),
    )
    yield BadRequest(
        "ListTaskRecordEvents",
        r.ListTaskRecordEventsRequest(task_record_id=RUN, after_seq=1_000),
        "OUT_OF_RANGE",
    )
