"""PostgreSQL frozen for longer than leases last, while the executors live."""

import time
from itertools import islice

from google.protobuf.message import Message
from vwed.v1.record_service_pb2 import (
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecordStatus

from bench.crowd.probe import Beat, ask
from bench.frames import Connection
from bench.load import Tally, pump
from bench.measure import Result
from bench.seed import more_runs, new_tenant
from bench.stand import Stand
from tests.support.clusters import frozen

RUNS, LEASE, FROZEN_SECONDS = 20, 5, 8.0
BEAT_SECONDS = 0.5
_WAIT = 3 * LEASE
RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING


def leases_over_an_outage(stand: Stand) -> Result:
    """Only with the embedded PostgreSQL. Raises LookupError for another."""
    pid_file = next(stand.stores.room.glob("postgres/**/postmaster.pid"), None)
    if pid_file is None:
        raise LookupError("PostgreSQL is not the bench's own: it cannot be frozen")
    postmaster = int(pid_file.read_text().splitlines()[0])
    with stand.another("outage", VWED_REDIS_URL="none") as server:
        tenant = new_tenant(server.target, "outage")
        *alive, dead = islice(more_runs(server.target, "run", tenant), RUNS + 1)
        wire, looking = (Connection(server.target, {"x-vwed-tenant": tenant}) for _ in range(2))
        starts = list[Message]()
        for run in (*alive, dead):
            start = StartTaskRecordRequest(id=run, executor_id="executor-1")
            start.lease.seconds = LEASE
            starts.append(start)
        started = ask(wire, "StartTaskRecord", starts)
        bodies = [
            HeartbeatTaskRecordRequest(
                id=run, executor_id="executor-1", lease_epoch=started[run].lease_epoch
            ).SerializeToString()
            for run in alive
        ]
        tally, began, beats = Tally(), time.perf_counter(), 0

        def beat() -> bool:
            nonlocal beats
            if time.perf_counter() - began > beats * BEAT_SECONDS:
                beats += 1
                for body in bodies:
                    Beat(wire, body, tally)
            return False

        pump([wire], beat, 2)
        with frozen(postmaster):
            pump([wire], beat, FROZEN_SECONDS)
        thawed, found_after = time.perf_counter(), 0.0
        while time.perf_counter() - thawed < _WAIT:
            pump([wire], beat, 0.2)
            if not found_after and _status(looking, dead) != RUNNING:
                found_after = time.perf_counter() - thawed
        kept = sum(_status(looking, run) == RUNNING for run in alive)
    return Result(
        f"starvation: {RUNS} leases of {LEASE} s, PostgreSQL frozen for {FROZEN_SECONDS:g} s",
        "",
        f"{RUNS} kept, the dead one found a term later",
        rounds=1,
        met=kept == RUNS and LEASE - 1 <= found_after <= 2 * LEASE,
        figures={"runs_kept": kept, "dead_one_found_after_s": found_after},
    )


def _status(wire: Connection, run: str) -> int:
    try:
        return ask(wire, "GetTaskRecord", [GetTaskRecordRequest(id=run)])[run].status
    except RuntimeError:
        return RUNNING  # not known: PostgreSQL is not there yet
