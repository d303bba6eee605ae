"""Who is there: the tenant whose robots must not wait, and the one that is a crowd."""

import itertools
from collections.abc import Iterator

from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.record_service_pb2 import ReportBlockRequest

A, B = "crowd-a", "crowd-b"
RUNS = 200
"""Of each, open all the time."""
PREFIX = "robot"
EXECUTOR = "executor-1"
LISTED = 100_000
"""Finished runs of B."""
BLOCKS = 20
"""Of a run; they are reported again and again, so that snapshots keep their size."""


def run_ids() -> list[str]:
    return [f"{PREFIX}-{n}" for n in range(RUNS)]


def metadata(tenant: str) -> dict[str, str]:
    return {"x-vwed-tenant": tenant}


def reports(epochs: dict[str, int] | None = None) -> Iterator[bytes]:
    """ReportBlock requests without end: each says something new of a block of the next run.

    With `epochs` (by run) they are the holder's.
    """
    record = BlockRecord(block_type="drive", robot_id="AMR-03")
    record.status = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
    record.output_data.update({"distance_m": 41.5, "station": "P-07"})
    request = ReportBlockRequest(executor_id=EXECUTOR if epochs else "")
    for n in itertools.count():
        record.block_id, record.message = f"block-{n % BLOCKS}", f"step {n}"
        request.block_record.CopyFrom(record)
        for run in run_ids():
            request.task_record_id = run
            if epochs:
                request.lease_epoch = epochs[run]
            yield request.SerializeToString()
