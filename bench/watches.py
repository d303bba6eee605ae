"""WatchTaskRecord: how soon an event comes, and how many can be handed out."""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Protocol

from vwed.v1.record_service_pb2 import (
    ReportBlocksRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordResponse,
)

from bench.frames import Connection
from bench.load import Tally, pump
from bench.measure import Result, Sample, Stopwatch, summed_up
from bench.paths import RECORDS
from bench.stand import Server, Stand
from bench.writes import batches

WATCH = f"{RECORDS}/WatchTaskRecord"
REPORTS = f"{RECORDS}/ReportBlocks"
PER_SECOND = 50
WATCHERS = 100
CONNECTIONS = 10
EVENT_BYTES = 330
"""Of the floor's messages: about a message with one event."""


class Watcher:
    """One watch: counts messages and events, and says when each event came."""

    def __init__(self, connection: Connection, run: str) -> None:
        self.ready = self.ended = False
        self.messages = self.events = 0
        self.arrivals: list[float] = []
        """By event: when it came, in perf_counter's time."""
        self.connection = connection
        request = WatchTaskRecordRequest(task_record_id=run)
        self.stream = connection.open(WATCH, self, request.SerializeToString())

    def message(self, body: bytes) -> None:
        answer = WatchTaskRecordResponse.FromString(body)
        if answer.snapshot:
            self.ready = self.ready or bool(answer.bookmark_seq)
        elif answer.events:
            self.messages += 1
            self.events += len(answer.events)
            self.arrivals += [self.connection.received_at] * len(answer.events)

    def end(self) -> None:
        self.ended = True


class Reporter:
    """Reports a batch, and the next when that is answered if there is to be one."""

    def __init__(self, connection: Connection, source: Iterator[ReportBlocksRequest]) -> None:
        self.sent: list[float] = []
        self.answered = self.failed = 0
        self.go_on = False
        self._good = False
        self._connection = connection
        self._source = source

    def send(self) -> None:
        self._good = False
        self.sent.append(time.perf_counter())
        self._connection.open(REPORTS, self, next(self._source).SerializeToString())

    def message(self, body: bytes) -> None:  # noqa: ARG002 - that there is one is what counts
        self._good = True

    def end(self) -> None:
        self.answered += 1
        self.failed += not self._good
        if self.go_on:
            self.send()


def open_watches(server: Server, run: str, count: int) -> tuple[list[Connection], list[Watcher]]:
    """Watches that have had their snapshot. Raises TimeoutError."""
    wires = [Connection(server.target) for _ in range(min(count, CONNECTIONS))]
    watchers = [Watcher(wires[n % len(wires)], run) for n in range(count)]
    if not pump(wires, lambda: all(w.ready for w in watchers), 30):
        raise TimeoutError("the watches did not get their snapshot")
    return wires, watchers


def latency(stand: Stand, runs: Iterator[str], count: int, rounds: int, seconds: float) -> Result:
    """From the sending of a report to the arrival of its event, at each watcher."""
    p50, p99 = (5, 20) if count == 1 else (10, 40)
    samples = [_latency_round(stand.server, next(runs), count, seconds) for _ in range(rounds)]
    result = summed_up(
        f"report to event, {PER_SECOND} reports/s, {count} watcher{'s' * (count > 1)}",
        "events",
        f"p50 <= {p50} ms, p99 <= {p99} ms",
        samples,
    )
    result.met = result.figures["p50_ms"] <= p50 and result.figures["p99_ms"] <= p99
    return result


def _latency_round(server: Server, run: str, count: int, seconds: float) -> Sample:
    wires, watchers = open_watches(server, run, count)
    wire = Connection(server.target)
    reporter = Reporter(wire, batches(run, "paced", size=1))
    watch = Stopwatch(server)
    spans = paced([wire, *wires], watchers, reporter, seconds)
    sample = watch.stop(len(spans.latencies))
    sample.figures = {
        "p50_ms": spans.quantile(0.5) * 1e3,
        "p99_ms": spans.quantile(0.99) * 1e3,
        "max_ms": spans.quantile(1) * 1e3,
    }
    return sample


class Hears(Protocol):
    """A watcher, of whatever."""

    events: int
    arrivals: list[float]


class Writes(Protocol):
    """Who makes the events, one each time."""

    sent: list[float]
    failed: int

    def send(self) -> None: ...


def paced(
    everyone: list[Connection], watchers: Sequence[Hears], writer: Writes, seconds: float
) -> Tally:
    """Writes at a steady pace; how long each write took to reach each watcher.

    Closes the connections. Raises RuntimeError unless each watcher had each event.
    """
    total = int(PER_SECOND * seconds)
    began = time.perf_counter()
    for n in range(total):
        pump(everyone, lambda: False, max(0.0, began + n / PER_SECOND - time.perf_counter()))
        writer.send()
    pump(everyone, lambda: all(w.events >= total for w in watchers), 5)
    for wire in everyone:
        wire.close()
    if writer.failed or any(w.events != total for w in watchers):
        raise RuntimeError(f"not each of {total} events came to each watcher")
    return Tally(
        latencies=[
            arrived - sent
            for watcher in watchers
            for sent, arrived in zip(writer.sent, watcher.arrivals, strict=True)
        ]
    )


def fan_out(stand: Stand, runs: Iterator[str], size: int, rounds: int, seconds: float) -> Result:
    """100 watchers of one run, reported to by as few callers as keep the server busy."""
    floors, samples = [], []
    for _ in range(rounds):
        floors.append(_stream_floor(stand.floor, EVENT_BYTES, seconds))
        samples.append(_fan_out_round(stand.server, next(runs), size, seconds))
    one = size == 1
    result = summed_up(
        f"fan-out to {WATCHERS} watchers, {size} event{'s' * (not one)} a report",
        "events",
        ">= 0.50 of the floor's messages" if one else ">= 60,000/s",
        samples,
    )
    result.floor_rate = median(s.rate for s in floors)
    result.floor_cpu_us = median(s.server_cpu / s.count for s in floors) * 1e6
    rates = [s.figures["messages_per_s"] / f.rate for s, f in zip(samples, floors, strict=True)]
    result.ratio = median(rates) if one else 0.0
    result.met = result.ratio >= 0.5 if one else result.rate >= 60_000
    return result


def _fan_out_round(server: Server, run: str, size: int, seconds: float) -> Sample:
    wires, watchers = open_watches(server, run, WATCHERS)
    wire = Connection(server.target)
    reporter = Reporter(wire, batches(run, "fan", size=size))
    reporter.go_on = True
    reporter.send()
    everyone = [wire, *wires]
    pump(everyone, lambda: False, seconds / 4)
    before = [sum(w.events for w in watchers), sum(w.messages for w in watchers)]
    watch = Stopwatch(server)
    pump(everyone, lambda: False, seconds)
    events = sum(w.events for w in watchers) - before[0]
    messages = sum(w.messages for w in watchers) - before[1]
    sample = watch.stop(events)
    _close(everyone)
    if reporter.failed:
        raise RuntimeError(f"{reporter.failed} reports failed")
    sample.figures = {
        "messages_per_s": messages / sample.seconds,
        "events_per_message": events / max(messages, 1),
    }
    return sample


class Counter:
    def __init__(self) -> None:
        self.messages = 0

    def message(self, body: bytes) -> None:  # noqa: ARG002 - it is constant
        self.messages += 1

    def end(self) -> None:
        raise RuntimeError("a stream of the floor ended")


def _stream_floor(floor: Server, size: int, seconds: float) -> Sample:
    """Messages of the same size to as many streams, with nothing behind them."""
    wires = [Connection(floor.target) for _ in range(CONNECTIONS)]
    counter = Counter()
    for n in range(WATCHERS):
        wires[n % CONNECTIONS].open(f"/bench.FloorStream/{size}", counter, b"")
    never: Callable[[], bool] = lambda: False  # noqa: E731 - shorter than a def
    pump(wires, never, seconds / 4)
    before = counter.messages
    watch = Stopwatch(floor)
    pump(wires, never, seconds)
    sample = watch.stop(counter.messages - before)
    _close(wires)
    return sample


def _close(wires: list[Connection]) -> None:
    for wire in wires:
        wire.close()
