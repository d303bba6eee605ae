"""An event of a run, as a line of a page."""

from typing import Any

from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.views.words import block_status, block_title, run_error, run_status


def event_json(event: TaskRecordEvent) -> dict[str, Any]:
    """`kind` is what changed; `status` is "" of what has none."""
    kind = event.WhichOneof("change") or ""
    status = subject = text = ""
    if kind == "task_record":
        run = event.task_record
        status = run_status(run)
        text = run_error(run) or run.message
        subject = run.executor_id
    elif kind == "block_record":
        block = event.block_record
        status = block_status(block)
        subject = block_title(block)
        text = block.error_message or block.message
    elif kind == "signal":
        subject = event.signal.name
        text = event.signal.block_record_id
    return {
        "seq": event.seq,
        "time": event.event_time.ToJsonString(),
        "actor": event.actor,
        "reason": event.reason,
        "kind": kind,
        "status": status,
        "subject": subject,
        "text": text,
        "progress": event.progress if event.HasField("progress") else None,
    }
