"""Callers of one tenant that hold what all need: waiting claims, and requests that never end."""

from functools import partial

from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ListTaskRecordsRequest,
)

from bench.crowd.again import Again, Crowd
from bench.frames import Connection
from bench.load import Tally, in_turn, pump
from bench.measure import Result
from bench.paths import CACHE, RECORDS
from bench.seed import more_runs, new_tenant
from bench.stand import Stand

CLAIMERS, CALLS = 2_100, 50
UPLOADS, SAID, SENT = 3_000, 4_000_000, 2_000_000
"""Half-sent ones; the bytes of each that it says it has, and those that it would send."""
OF_WIRE = 100
UPLOAD_SECONDS = 15.0
MOST_MIB = 1_024.0


def calls_beside_claimers(stand: Stand) -> Result:
    with stand.another("claimers") as server:
        many, other = (new_tenant(server.target, name) for name in ("claimers", "others"))
        run = next(more_runs(server.target, "run", other))
        wires = [Connection(server.target, {"x-vwed-tenant": many}) for _ in range(10)]
        crowd = Crowd()
        for n in range(CLAIMERS):
            request = ClaimTaskRecordsRequest(executor_id=f"claimer-{n}")
            request.wait.seconds = 60
            wire, body = wires[n % len(wires)], request.SerializeToString()
            path = f"{RECORDS}/ClaimTaskRecords"
            crowd.add("claims", partial(wire.open, path, message=body))
        crowd.begin()
        pump(wires, lambda: False, 2)
        wire = Connection(server.target, {"x-vwed-tenant": other})
        bodies = {
            "GetTaskRecord": GetTaskRecordRequest(id=run),
            "HeartbeatTaskRecord": HeartbeatTaskRecordRequest(id=run),
            "ListTaskRecords": ListTaskRecordsRequest(),
        }
        found = {
            method: in_turn(wire, f"{RECORDS}/{method}", [body.SerializeToString()] * CALLS, wires)
            for method, body in bodies.items()
        }
        for each in wires:
            each.close()
    refused = sum(tally.failed for tally in found.values())
    return Result(
        f"starvation: other tenants beside {CLAIMERS:,} idle claimers of one",
        "",
        "none refused",
        rounds=1,
        met=not refused,
        figures={"refused": refused, "of": CALLS * len(found)}
        | {f"{method}_p50_ms": tally.quantile(0.5) * 1e3 for method, tally in found.items()},
    )


def memory_of_half_sent(stand: Stand) -> Result:
    with stand.another("uploads") as server:
        many, other = (new_tenant(server.target, name) for name in ("uploads", "others"))
        run = next(more_runs(server.target, "run", other))
        wire = Connection(server.target, {"x-vwed-tenant": other})
        read = GetTaskRecordRequest(id=run).SerializeToString()
        before = most = server.process.rss()
        entry = DataCache(task_record_id=run, key="large", string_value="x" * SAID)
        beginning = SetDataCacheRequest(data_cache=entry).SerializeToString()[:SENT]
        crowd, latencies, refused = Crowd(), list[float](), 0
        for n in range(UPLOADS):
            if n % OF_WIRE == 0:
                crowd.wires.append(Connection(server.target, {"x-vwed-tenant": many}))
            crowd.add("uploads", partial(_begin_upload, crowd.wires[-1], beginning))
        crowd.begin()
        note = ""
        try:
            for _ in range(int(UPLOAD_SECONDS / 0.25)):
                pump(crowd.wires, lambda: False, 0.25)
                most = max(most, server.process.rss())
                tally = in_turn(wire, f"{RECORDS}/GetTaskRecord", [read], crowd.wires)
                latencies += tally.latencies
                refused += tally.failed
        except OSError as loss:
            note = f"a connection was lost: {loss}"
        most = max(most, server.process.rss())
        for each in crowd.wires:
            each.close()
    return Result(
        f"starvation: memory of {UPLOADS:,} half-sent uploads",
        "",
        f"<= {MOST_MIB:,.0f} MiB",
        rounds=1,
        met=most <= MOST_MIB and not refused and not note,
        figures={
            "before_MiB": before,
            "most_MiB": most,
            "ended_by_the_server": crowd.counts["uploads"].refused,
            "reads_p50_ms": Tally(latencies=latencies).quantile(0.5) * 1e3,
            "reads_longest_ms": max(latencies, default=0.0) * 1e3,
            "reads_refused": refused,
        },
        note=note,
    )


def _begin_upload(wire: Connection, beginning: bytes, again: Again) -> None:
    wire.send(wire.open(f"{CACHE}/SetDataCache", again), beginning, size=SAID)
