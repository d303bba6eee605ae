"""The same work by our own server."""

import itertools
from collections.abc import Iterator

from vwed.v1.cache_service_pb2 import GetDataCacheRequest
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from bench.measure import Shape, various
from bench.paths import CACHE, RECORDS
from bench.peers.etcd import SHAPE
from bench.peers.prefect import CALLERS
from bench.seed import DEFINITION, KEY, RUN
from bench.stand import Stand
from bench.watches import latency
from bench.writes import entries


def runs(stand: Stand, seconds: float) -> dict[str, float]:
    """Calls a second: create a run, start it, read it."""
    shape, made = Shape(callers=CALLERS), itertools.count()
    server = stand.server

    def creates() -> Iterator[bytes]:
        for n in made:
            record = TaskRecord(id=f"peer-{n}", task_def_id=DEFINITION)
            yield CreateTaskRecordRequest(task_record=record).SerializeToString()

    figures = {
        "create": various(server, f"{RECORDS}/CreateTaskRecord", creates(), shape, seconds).rate
    }
    count = next(made)
    starts = (
        StartTaskRecordRequest(id=f"peer-{n}", executor_id="executor-1").SerializeToString()
        for n in range(count)
    )
    figures["set state"] = various(
        server, f"{RECORDS}/StartTaskRecord", starts, shape, seconds, limit=count
    ).rate
    gets = (
        GetTaskRecordRequest(id=f"peer-{n % count}").SerializeToString() for n in itertools.count()
    )
    figures["read"] = various(server, f"{RECORDS}/GetTaskRecord", gets, shape, seconds).rate
    return figures


def keys(stand: Stand, ids: list[str], watched: Iterator[str], seconds: float) -> dict[str, float]:
    """Calls a second of SetDataCache and GetDataCache, milliseconds from report to event."""
    server = stand.server
    get = GetDataCacheRequest(task_record_id=RUN, key=KEY).SerializeToString()
    gets = itertools.repeat(get)
    figures = {
        "put": various(server, f"{CACHE}/SetDataCache", entries(ids), SHAPE, seconds).rate,
        "range": various(server, f"{CACHE}/GetDataCache", gets, SHAPE, seconds).rate,
    }
    for count in (1, 100):
        result = latency(stand, watched, count, 1, seconds)
        figures[f"p50 ms, {count}"] = result.figures["p50_ms"]
        figures[f"p99 ms, {count}"] = result.figures["p99_ms"]
    return figures
