"""Resident memory: idle, watched, after cancelled streams, after a million reports."""

import itertools

from vwed.v1.record_service_pb2 import WatchTaskRecordRequest

from bench.frames import Connection
from bench.load import pump
from bench.stand import Server, Stand
from bench.streams import stream_reports
from bench.watches import WATCH, open_watches
from bench.writes import batches

CANCELLED, IDLE_WATCHERS = 12_000, 1_000
_AT_ONCE = 200


def resident(stand: Stand, runs: list[str], reports: int) -> dict[str, float]:
    """Resident MiB of a fresh server, in this order; nothing is restarted in between."""
    sizes = {}
    with stand.another("memory") as server:
        sizes["idle"] = server.process.rss()
        wires, _ = open_watches(server, runs[0], IDLE_WATCHERS)
        sizes[f"{IDLE_WATCHERS:,} idle watchers"] = server.process.rss()
        for wire in wires:
            wire.close()
        for _ in range(CANCELLED // _AT_ONCE):
            _cancel(server, runs[1])
        sizes[f"after {CANCELLED:,} cancelled streams"] = server.process.rss()
        reported = 0
        for turn in itertools.count():
            if reported >= reports:
                break
            sources = [batches(run, f"memory-{turn}") for run in runs[2:]]
            reported += stream_reports(server, sources, 5).count
        sizes[f"after {reports:,} reports"] = server.process.rss()
    return sizes


class _Left:
    """A caller who leaves once the first message has come."""

    def __init__(self) -> None:
        self.heard = False

    def message(self, body: bytes) -> None:  # noqa: ARG002 - that there is one is enough
        self.heard = True

    def end(self) -> None:
        self.heard = True


def _cancel(server: Server, run: str) -> None:
    wire = Connection(server.target)
    request = WatchTaskRecordRequest(task_record_id=run).SerializeToString()
    callers = [_Left() for _ in range(_AT_ONCE)]
    streams = [wire.open(WATCH, caller, request) for caller in callers]
    pump([wire], lambda: all(caller.heard for caller in callers), 30)
    for stream in streams:
        wire.reset(stream)
    wire.flush()
    wire.close()
