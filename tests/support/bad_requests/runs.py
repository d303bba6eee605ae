from collections.abc import Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration
from vwed.v1 import record_service_pb2 as r
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.support.bad_requests.request import (
    DEF,
    ENDED,
    FOREIGN,
    INVALID,
    LONG_ID,
    MIB,
    MISSING,
    RUN,
    TAKEN,
    UNMET,
    BadRequest,
)
from tests.support.calls import json_object


def created() -> Iterator[BadRequest]:
    def create(field: str, **given: Any) -> BadRequest:
        given.setdefault("task_def_id", DEF)
        request = r.CreateTaskRecordRequest(task_record=TaskRecord(**given))
        return BadRequest("CreateTaskRecord", request, INVALID, (f"task_record.{field}",))

    yield create("task_def_id", task_def_id="")
    yield create("task_def_id", task_def_id=LONG_ID)
    yield create("id", id="a b")
    yield create("external_id", external_id="x" * 257)
    yield create("external_id", external_id="\0")
    yield create("input", input=json_object(a="x" * (2 * MIB)))
    yield create("input.a", input=json_object(a=float("inf")))
    yield create("input.to", input=json_object(to=3))  # the definition wants a string
    yield create('labels["A"]', labels={"A": ""})
    yield create("task_def_version", task_def_version=-1)
    yield create("parent_block_record_id", parent_block_record_id="b")
    request = r.CreateTaskRecordRequest(task_record=TaskRecord(task_def_id="nowhere"))
    yield BadRequest("CreateTaskRecord", request, MISSING)
    request = r.CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=DEF, id=RUN))
    yield BadRequest("CreateTaskRecord", request, TAKEN)
    request = r.CreateTaskRecordRequest(
        task_record=TaskRecord(task_def_id=DEF, parent_task_record_id=FOREIGN)
    )
    yield BadRequest("CreateTaskRecord", request, MISSING)


def taken() -> Iterator[BadRequest]:
    def start(lease: Duration) -> BadRequest:
        request = r.StartTaskRecordRequest(id=RUN, executor_id="robot-1", lease=lease)
        return BadRequest("StartTaskRecord", request, INVALID, ("lease",))

    yield start(Duration(nanos=500_000_000))
    yield start(Duration(seconds=25 * 3_600))
    yield start(Duration(seconds=-1))
    yield start(Duration(seconds=60, nanos=-1))
    yield start(Duration(seconds=2**62))
    for executor in ("", LONG_ID, "\0"):
        request_ = r.StartTaskRecordRequest(id=RUN, executor_id=executor)
        yield BadRequest("StartTaskRecord", request_, INVALID, ("executor_id",))

    def claim(field: str, **given: Any) -> BadRequest:
        request = r.ClaimTaskRecordsRequest(executor_id="robot-1", **given)
        return BadRequest("ClaimTaskRecords", request, INVALID, (field,))

    yield claim("lease", lease=Duration(nanos=999_999_999))
    yield claim("wait", wait=Duration(seconds=61))
    yield claim("max_count", max_count=101)
    yield claim("max_count", max_count=-1)
    yield claim("request_id", request_id="not-a-uuid")
    yield claim("filter.statuses", filter=TaskRecordFilter(statuses=[1]))  # type: ignore[list-item]  # PENDING


def ended() -> Iterator[BadRequest]:
    def finish(field: str, **given: Any) -> BadRequest:
        given = {"id": RUN, "status": 7, **given}
        return BadRequest("FinishTaskRecord", r.FinishTaskRecordRequest(**given), INVALID, (field,))

    for status in (0, 2, 99, -1):
        yield finish("status", status=status)
    yield finish("error_code", error_code="x" * 65)
    yield finish("reason", reason="x" * 513)
    yield finish("result", result=json_object(a="x" * (2 * MIB)))
    yield finish("error_message", error_message="\0")


def spoken_to() -> Iterator[BadRequest]:
    yield BadRequest(
        "HeartbeatTaskRecord",
        r.HeartbeatTaskRecordRequest(id=RUN, message="x" * 513),
        INVALID,
        ("message",),
    )
    yield BadRequest(
        "HeartbeatTaskRecord",
        r.HeartbeatTaskRecordRequest(id=RUN, lease_epoch=-1),
        INVALID,
        ("lease_epoch",),
    )
    yield BadRequest(
        "SignalTaskRecord",
        r.SignalTaskRecordRequest(id=RUN, name="go", payload=json_object(a="x" * 65_536)),
        INVALID,
        ("payload",),
    )
    yield BadRequest("SignalTaskRecord", r.SignalTaskRecordRequest(id=RUN), INVALID, ("name",))

    def release(field: str, **given: Any) -> BadRequest:
        given = {"id": RUN, "executor_id": "robot-1", "lease_epoch": 1, **given}
        request = r.ReleaseTaskRecordRequest(**given)
        return BadRequest("ReleaseTaskRecord", request, INVALID, (field,))

    yield release("executor_id", executor_id="")
    yield release("executor_id", executor_id=LONG_ID)
    yield release("lease_epoch", lease_epoch=0)
    yield release("lease_epoch", lease_epoch=-1)
    yield release("reason", reason="x" * 513)
    yield BadRequest(
        "RetryTaskRecord",
        r.RetryTaskRecordRequest(id=ENDED, mode=9),  # type: ignore[arg-type]  # not a mode
        INVALID,
        ("mode",),
    )


def moved_where_they_cannot_go() -> Iterator[BadRequest]:
    yield BadRequest(
        "StartTaskRecord", r.StartTaskRecordRequest(id=ENDED, executor_id="robot-1"), UNMET
    )
    yield BadRequest("PauseTaskRecord", r.PauseTaskRecordRequest(id=ENDED), UNMET)
    yield BadRequest(
        "ReleaseTaskRecord",
        r.ReleaseTaskRecordRequest(id=ENDED, executor_id="robot-1", lease_epoch=1),
        UNMET,
    )
    yield BadRequest("ResumeTaskRecord", r.ResumeTaskRecordRequest(id=ENDED), UNMET)
    yield BadRequest("CancelTaskRecord", r.CancelTaskRecordRequest(id=ENDED), UNMET)
    yield BadRequest("RetryTaskRecord", r.RetryTaskRecordRequest(id=ENDED), UNMET)
    yield BadRequest("DeleteTaskRecord", r.DeleteTaskRecordRequest(id=RUN), UNMET)
