from collections.abc import Iterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1 import record_service_pb2 as r
from vwed.v1.block_record_pb2 import BlockRecord

from tests.support.bad_requests.request import (
    ENDED,
    INVALID,
    MIB,
    MISSING,
    RUN,
    UNMET,
    BadRequest,
)
from tests.support.calls import json_object


def reports() -> Iterator[BadRequest]:
    def report(*fields: str, code: str = INVALID, **given: Any) -> BadRequest:
        given.setdefault("block_id", "new")
        request = r.ReportBlockRequest(task_record_id=RUN, block_record=BlockRecord(**given))
        return BadRequest(
            "ReportBlock", request, code, tuple(f"block_record.{field}" for field in fields)
        )

    for block_id in ("", "x" * 129, "a\0b"):
        yield report("block_id", block_id=block_id)
    yield report("status", status=42)
    yield report("attempt", attempt=-1)
    yield report("iteration", iteration="3.")
    yield report("iteration", iteration="\n")
    yield report("progress", progress=1.5)
    yield report("progress", progress=float("nan"))
    yield report("name", name="x" * 201)
    yield report("message", message="x" * 513)
    yield report("error_message", error_message="\0")
    yield report("start_time", start_time=Timestamp(nanos=-1))
    yield report("start_time", start_time=Timestamp(seconds=-62_135_596_800))  # Go's zero time
    yield report("end_time", end_time=Timestamp(seconds=253_402_300_800))
    yield report("end_time", end_time=Timestamp(seconds=253_402_300_799, nanos=999_999_000))
    yield report("end_time", start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1))
    yield report("parent", parent={"block_id": "new"})
    yield report("output_data", output_data=json_object(a="x" * (2 * MIB)))
    yield report("input_data.a", input_data=json_object(a=float("nan")))
    yield report("parent.block_id", parent={"block_id": ""})
    yield report(code=MISSING, parent={"block_id": "nowhere"})
    yield report(code=MISSING, parent_block_record_id="nowhere")
    yield report(code=UNMET, block_id="done", status=2)  # from SUCCEEDED to RUNNING

    def batch(field: str, *block_records: BlockRecord, code: str = INVALID) -> BadRequest:
        request = r.ReportBlocksRequest(task_record_id=RUN, block_records=block_records)
        return BadRequest("ReportBlocks", request, code, (field,) if field else ())

    good = BlockRecord(block_id="good")
    yield batch("block_records")
    yield batch("block_records", *(BlockRecord(block_id=f"b{n}") for n in range(1_001)))
    yield batch("block_records[1].block_id", good, BlockRecord())
    large = json_object(a="x" * (2 * MIB))
    yield batch("block_records[1].output_data", good, BlockRecord(block_id="b", output_data=large))
    # All or none: what stands before the bad one is not written either.
    yield batch("", good, BlockRecord(block_id="done", status=2), code=UNMET)  # type: ignore[arg-type]  # RUNNING
    yield BadRequest(
        "ReportBlock",
        r.ReportBlockRequest(task_record_id=ENDED, block_record=good),
        UNMET,
    )
    yield BadRequest(
        "ReportBlock",
        r.ReportBlockRequest(task_record_id=RUN, block_record=good, executor_id="robot-2"),
        UNMET,
    )
    yield BadRequest(
        "ReportBlock",
        r.ReportBlockRequest(task_record_id=RUN, block_record=good, lease_epoch=9),
        UNMET,
    )
