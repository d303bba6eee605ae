"""Tenant A: 200 runs heartbeaten every second, and reported by 16 callers.

`python -m bench.crowd.probe TARGET`; each line on stdin names what begins now. When stdin ends it
prints what calls took meanwhile, in the order of those lines, and how many leases were lost.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread

from google.protobuf.message import Message
from vwed.v1.record_service_pb2 import (
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from bench.crowd.tenants import EXECUTOR, RUNS, A, metadata, reports, run_ids
from bench.frames import Connection
from bench.load import Caller, Tally, pump
from bench.paths import RECORDS

LEASE_SECONDS = 5
CALLERS, CONNECTIONS = 16, 4
_TURN = 0.001


class Beat:
    """One heartbeat."""

    __slots__ = ("_began", "_good", "_tally", "_wire")

    def __init__(self, wire: Connection, body: bytes, tally: Tally) -> None:
        self._good = False
        self._tally = tally
        self._wire = wire
        self._began = time.perf_counter()
        wire.open(f"{RECORDS}/HeartbeatTaskRecord", self, body)

    def message(self, body: bytes) -> None:  # noqa: ARG002 - that there is one is what counts
        self._good = True

    def end(self) -> None:
        self._tally.failed += not self._good
        self._tally.latencies.append(self._wire.received_at - self._began)


class RunAnswer:
    """The run that a call answers with."""

    def __init__(self) -> None:
        self.run = TaskRecord()
        self.ended = False

    def message(self, body: bytes) -> None:
        self.run = TaskRecord.FromString(body)

    def end(self) -> None:
        self.ended = True


def ask(wire: Connection, method: str, requests: list[Message]) -> dict[str, TaskRecord]:
    """The runs that these calls answer with, by id. Raises RuntimeError if any fails."""
    answers = [RunAnswer() for _ in requests]
    for request, answer in zip(requests, answers, strict=True):
        wire.open(f"{RECORDS}/{method}", answer, request.SerializeToString())
    pump([wire], lambda: all(answer.ended for answer in answers), 30)
    found = {answer.run.id: answer.run for answer in answers}
    if len(found) < len(requests):
        raise RuntimeError(f"{method}: of {len(requests)} calls some failed")
    return found


@dataclass(frozen=True)
class Mark:
    """Where the tallies of heartbeats and reports stood when something began."""

    name: str
    at: float
    counts: tuple[int, int]
    failed: tuple[int, int]


class Probe:
    def __init__(self, target: str) -> None:
        self._first, *self._others = (Connection(target, metadata(A)) for _ in range(CONNECTIONS))
        self._tallies = (Tally(), Tally())
        self._marks: list[Mark] = []
        self._stopped = False

    def run(self) -> dict[str, object]:
        """Until stdin ends."""
        heartbeats, reported = self._tallies
        starts: list[Message] = []
        for run in run_ids():
            start = StartTaskRecordRequest(id=run, executor_id=EXECUTOR)
            start.lease.seconds = LEASE_SECONDS
            starts.append(start)
        started = ask(self._first, "StartTaskRecord", starts)
        epochs = {run: record.lease_epoch for run, record in started.items()}
        bodies = [
            HeartbeatTaskRecordRequest(
                id=run, executor_id=EXECUTOR, lease_epoch=epochs[run]
            ).SerializeToString()
            for run in run_ids()
        ]
        source = reports(epochs)
        for n in range(CALLERS):
            wire = self._others[n % len(self._others)]
            Caller(wire, f"{RECORDS}/ReportBlock", source, reported).next()
        began, sent = time.perf_counter(), 0

        def beat() -> bool:
            nonlocal sent
            while sent < RUNS * (time.perf_counter() - began):
                Beat(self._first, bodies[sent % RUNS], heartbeats)
                sent += 1
            return self._stopped

        self._mark("beginning")
        Thread(target=self._listen, daemon=True).start()
        print("ready", flush=True)
        pump([self._first, *self._others], beat, 86_400, turn=_TURN)
        self._mark("end")
        found = ask(self._first, "GetTaskRecord", [GetTaskRecordRequest(id=r) for r in run_ids()])
        kept = sum(
            run.status == TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
            and run.lease_epoch == epochs[run.id]
            for run in found.values()
        )
        return {"lost": RUNS - kept, "measured": list(self._measured())}

    def _listen(self) -> None:
        for line in sys.stdin:
            self._mark(line.strip())
        self._stopped = True

    def _mark(self, name: str) -> None:
        counts, failed = zip(*((len(t.latencies), t.failed) for t in self._tallies), strict=True)
        self._marks.append(Mark(name, time.perf_counter(), counts, failed))

    def _measured(self) -> Iterator[dict[str, object]]:
        for mark, after in zip(self._marks, self._marks[1:], strict=False):
            told: dict[str, object] = {"name": mark.name, "seconds": after.at - mark.at}
            for nth, kind in enumerate(("heartbeats", "reports")):
                part = Tally(
                    failed=after.failed[nth] - mark.failed[nth],
                    latencies=self._tallies[nth].latencies[mark.counts[nth] : after.counts[nth]],
                )
                told[kind] = {
                    "calls": len(part.latencies),
                    "failed": part.failed,
                    **{f"p{p}_ms": part.quantile(p / 100) * 1e3 for p in (50, 99, 100)},
                }
            yield told


if __name__ == "__main__":
    print(json.dumps(Probe(sys.argv[1]).run()))
