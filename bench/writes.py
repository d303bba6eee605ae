"""Reports, entries and claims: requests that differ, each answered when it is durable."""

import itertools
import json
import subprocess
from collections.abc import Iterator
from statistics import median

import sqlalchemy as sa
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    ClaimTaskRecordsResponse,
    ReportBlockRequest,
    ReportBlocksRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from bench import seed
from bench.measure import Result, Sample, Shape, compare, repeated, summed_up, various
from bench.paths import CACHE, RECORDS
from bench.process import ROOT, SERVER_CORE, python
from bench.stand import Stand
from bench.streams import stream_reports

_rounds = itertools.count()
"""No two have blocks of the same names, or they would report nothing new."""
RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
ANSWER_BYTES = 330
"""Of the floor that writes are compared with."""
CLAIMERS, PENDING = 16, 10_000


def block(block_id: str, status: BlockRecordStatus.ValueType) -> BlockRecord:
    """What a robot says of a block: that it began, or what came of it."""
    record = BlockRecord(block_id=block_id, block_type="drive", status=status, robot_id="AMR-03")
    if status == SUCCEEDED:
        record.message = "arrived at station P-07"
        record.output_data.update({"distance_m": 41.5, "station": "P-07"})
    return record


def lives(runs: list[str], name: str) -> Iterator[bytes]:
    """ReportBlock requests: a block of each run begins, then each ends, then the next block."""
    for n in itertools.count():
        for status in (RUNNING, SUCCEEDED):
            record = block(f"{name}-{n}", status)
            for run in runs:
                yield ReportBlockRequest(
                    task_record_id=run, block_record=record
                ).SerializeToString()


def batches(run: str, name: str, size: int = 50) -> Iterator[ReportBlocksRequest]:
    """Batches of one run: fifty blocks begin, then they end."""
    for n in itertools.count():
        for status in (RUNNING, SUCCEEDED):
            yield ReportBlocksRequest(
                task_record_id=run,
                block_records=[block(f"{name}-{n}-{i}", status) for i in range(size)],
            )


def entries(runs: list[str]) -> Iterator[bytes]:
    """SetDataCache requests, five keys a run."""
    for n in itertools.count():
        entry = DataCache(key=f"key-{n % 5}", string_value=f"value {n}")
        for run in runs:
            entry.task_record_id = run
            yield SetDataCacheRequest(data_cache=entry).SerializeToString()


def sets(stand: Stand, runs: list[str], rounds: int, seconds: float) -> Result:
    requests = entries(runs)
    return _against_floor(
        stand, "SetDataCache, 64 callers", 0.40, f"{CACHE}/SetDataCache", requests, rounds, seconds
    )


def reports(stand: Stand, runs: list[str], rounds: int, seconds: float) -> Result:
    requests = lives(runs, f"single-{next(_rounds)}")
    return _against_floor(
        stand,
        "ReportBlock, 64 callers, 200 runs",
        0.55,
        f"{RECORDS}/ReportBlock",
        requests,
        rounds,
        seconds,
    )


def _against_floor(
    stand: Stand,
    case: str,
    least: float,
    path: str,
    requests: Iterator[bytes],
    rounds: int,
    seconds: float,
) -> Result:
    shape = Shape(callers=64)
    nothing = itertools.repeat(b"")
    return compare(
        case,
        "calls",
        least,
        rounds,
        lambda: various(stand.server, path, requests, shape, seconds),
        lambda: various(stand.floor, f"/bench.Floor/{ANSWER_BYTES}", nothing, shape, seconds),
    )


def streams(stand: Stand, runs: list[str], rounds: int, seconds: float) -> Result:
    """StreamBlockReports beside plain asyncpg, which writes the same rows from the same core."""
    shares, plain_rates, samples = [], [], []
    for n in itertools.islice(_rounds, rounds):
        plain = _plain_writes(stand, seconds, n)
        sample = stream_reports(
            stand.server, [batches(run, f"stream-{n}") for run in runs], seconds
        )
        plain_rates.append(plain)
        shares.append(sample.rate / plain)
        samples.append(sample)
    result = summed_up(
        "StreamBlockReports, batches of 50",
        "blocks",
        ">= 12,000/s, >= 0.40 of asyncpg",
        samples,
    )
    result.figures["plain_asyncpg_per_s"] = median(plain_rates)
    result.figures["of_plain_asyncpg"] = median(shares)
    result.met = result.rate >= 12_000 and median(shares) >= 0.4
    return result


def _plain_writes(stand: Stand, seconds: float, nth: int) -> float:
    """Blocks a second by asyncpg alone."""
    done = subprocess.run(
        [
            "taskset",
            "-c",
            str(SERVER_CORE),
            *python("bench.plain_writes", stand.stores.database_url, str(seconds), str(nth)),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return float(json.loads(done.stdout)["blocks_per_s"])


def claims(stand: Stand, engine: sa.Engine, rounds: int, seconds: float) -> Result:
    path, metadata = f"{RECORDS}/ClaimTaskRecords", {"x-vwed-tenant": seed.CLAIMS}
    request = ClaimTaskRecordsRequest(executor_id="executor-1", max_count=1)
    request.lease.seconds = 3600  # a lease that ran out would be work for later cases
    body = request.SerializeToString()
    answer = ClaimTaskRecordsResponse(task_records=[TaskRecord(id="x" * 250)])
    shape = Shape(callers=CLAIMERS, connections=4)
    size = answer.ByteSize()
    calls = min(PENDING - 1000, int(700 * seconds))

    def run() -> Sample:
        seed.fill_pending(engine, PENDING, str(next(_rounds)))
        before = seed.claimed(engine)
        sample = repeated(stand.server, path, body, shape, seconds, metadata=metadata, calls=calls)
        if (taken := seed.claimed(engine) - before) != calls:
            raise RuntimeError(f"{calls} claims took {taken} runs")
        return sample

    return compare(
        "ClaimTaskRecords, 16 claimers, 10,000 pending",
        "calls",
        0.25,
        rounds,
        run,
        lambda: repeated(
            stand.floor, f"/bench.Floor/{size}", b"", shape, seconds, answer_bytes=size
        ),
    )
