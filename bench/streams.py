"""StreamBlockReports: a few streams, each with some batches on the way."""

from collections.abc import Iterator, Sequence

from vwed.v1.record_service_pb2 import (
    ReportBlocksRequest,
    StreamBlockReportsRequest,
    StreamBlockReportsResponse,
)

from bench.frames import Connection
from bench.load import pump
from bench.measure import Sample, Stopwatch
from bench.stand import Server

IN_FLIGHT = 8
"""Batches of a stream that wait for their answer."""
_PATH = "/vwed.v1.RecordService/StreamBlockReports"
_MOST_BATCHES = 30_000 // 50
"""Made before the clock starts, of each stream and second."""


class Reporter:
    """One stream; sends the next batch when one is answered."""

    def __init__(self, connection: Connection, batches: list[bytes]) -> None:
        self.blocks = 0
        self.problem = ""
        self.stopped = False
        self.waiting = 0
        self._connection = connection
        self._batches = iter(batches)
        self._stream = connection.open(_PATH, self)

    def send(self) -> None:
        batch = None if self.stopped else next(self._batches, None)
        if batch is not None:
            self.waiting += 1
            self._connection.send(self._stream, batch)

    def message(self, body: bytes) -> None:
        answer = StreamBlockReportsResponse.FromString(body)
        self.waiting -= 1
        self.blocks += len(answer.seqs)
        if answer.HasField("error"):
            self.problem = answer.error.message
        self.send()

    def end(self) -> None:
        self.problem = self.problem or "the stream ended"


def stream_reports(
    server: Server, sources: Sequence[Iterator[ReportBlocksRequest]], seconds: float
) -> Sample:
    """One stream of each source, counted in blocks. Raises RuntimeError if a batch is refused."""
    prepared = [_prepared(source, seconds, len(sources)) for source in sources]
    wires = [Connection(server.target) for _ in sources]
    reporters = [Reporter(*pair) for pair in zip(wires, prepared, strict=True)]
    for reporter in reporters:
        for _ in range(IN_FLIGHT):
            reporter.send()
    watch = Stopwatch(server)
    pump(wires, lambda: any(r.problem for r in reporters), seconds)
    sample = watch.stop(sum(r.blocks for r in reporters))
    for reporter in reporters:
        reporter.stopped = True
    pump(wires, lambda: not any(r.waiting for r in reporters), 10)
    for wire in wires:
        wire.close()
    if problems := {r.problem for r in reporters if r.problem}:
        raise RuntimeError(f"{_PATH}: {problems}")
    return sample


def _prepared(source: Iterator[ReportBlocksRequest], seconds: float, streams: int) -> list[bytes]:
    count = int(_MOST_BATCHES * seconds / streams) + 2 * IN_FLIGHT
    return [
        StreamBlockReportsRequest(
            batch_id=str(n),
            task_record_id=batch.task_record_id,
            block_records=batch.block_records,
        ).SerializeToString()
        for n, batch in zip(range(count), source, strict=False)
    ]
