"""Watches, read and unread, and those who report and read beside them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from statistics import median

from google.protobuf.message import Message
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    GetTaskRecordRequest,
    ReportBlocksRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
    WatchTaskRecordsResponse,
)

from bench.frames import Connection
from bench.load import Tally, in_turn, pump
from bench.measure import Result
from bench.paths import RECORDS
from bench.reads import STRONG
from bench.seed import more_runs, new_tenant, struct
from bench.stand import Server, Stand
from bench.trial import answer_to
from bench.writes import batches

FEEDS, REPORTS, MOST_BESIDE_FEEDS = (0, 5, 50), 20, 1.3
READS, MOST_BESIDE_UNREAD = 200, 2.0
WIRES = 5
OF_EACH = 25
"""Unread watches: of many runs, from a token on and as they are; of one run, from its beginning and
as it is."""
LARGE_RUNS, BATCHES, BLOCKS, BLOCK_BYTES = 10, 4, 100, 20_000
"""What these have to tell: 80 MB."""
AFTER_SECONDS = 3.0
RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING


class Watch:
    """Hears, and keeps the last message."""

    def __init__(self) -> None:
        self.last = b""

    def message(self, body: bytes) -> None:
        self.last = body

    def end(self) -> None:
        pass


@contextmanager
def opened(
    server: Server, tenant: str, requests: Sequence[tuple[str, Message]], *, unread: bool = False
) -> Iterator[tuple[list[Connection], list[Watch]]]:
    """These watches, on a few connections."""
    metadata = {"x-vwed-tenant": tenant}
    wires = [Connection(server.target, metadata, unread=unread) for _ in range(WIRES)]
    watches = [Watch() for _ in requests]
    for n, ((method, request), watch) in enumerate(zip(requests, watches, strict=True)):
        wires[n % WIRES].open(f"{RECORDS}/{method}", watch, request.SerializeToString())
    try:
        yield wires, watches
    finally:
        for wire in wires:
            wire.close()


def _begin(wires: Sequence[Connection], watches: Sequence[Watch]) -> None:
    if not pump(wires, lambda: all(watch.last for watch in watches), 30):
        raise TimeoutError("watches do not begin")


def reports_beside_feeds(stand: Stand, rounds: int) -> Result:
    took: dict[int, list[float]] = {count: [] for count in FEEDS}
    with stand.another("feeds") as server:
        tenant = new_tenant(server.target, "fed")
        run = next(more_runs(server.target, "run", tenant))
        wire = Connection(server.target, {"x-vwed-tenant": tenant})
        requests = batches(run, "block", size=1)
        for _ in range(rounds + 1):
            for count in FEEDS:
                feeds = [("WatchTaskRecords", WatchTaskRecordsRequest())] * count
                with opened(server, tenant, feeds) as (wires, watches):
                    _begin(wires, watches)
                    bodies = (next(requests).SerializeToString() for _ in range(REPORTS))
                    tally = in_turn(wire, f"{RECORDS}/ReportBlocks", bodies, wires)
                took[count].append(sum(tally.latencies))
    none, *_, most = (seconds[1:] for seconds in took.values())  # the first of each warms up
    of_none = median(b / a for a, b in zip(none, most, strict=True))
    return Result(
        f"starvation: {REPORTS} reports beside {FEEDS[-1]} feeds",
        "",
        f"<= {MOST_BESIDE_FEEDS:g} of none",
        rounds=rounds,
        met=of_none <= MOST_BESIDE_FEEDS,
        figures={f"ms_beside_{n}": median(s[1:]) * 1e3 for n, s in took.items()}
        | {"of_none": of_none},
    )


def reads_beside_unread(stand: Stand, rounds: int) -> Result:
    alone, opening, after = Tally(), Tally(), Tally()
    with stand.another("unread") as server:
        crowd, other = (new_tenant(server.target, name) for name in ("unread", "reader"))
        own = next(more_runs(server.target, "run", other))
        requests = _of_large_runs(server, crowd)
        wire = Connection(server.target, {"x-vwed-tenant": other, **STRONG})
        body = GetTaskRecordRequest(id=own).SerializeToString()

        def read(tally: Tally, beside: Sequence[Connection] = ()) -> None:
            found = in_turn(wire, f"{RECORDS}/GetTaskRecord", [body] * READS, beside)
            tally.latencies += found.latencies
            tally.failed += found.failed

        for _ in range(rounds):
            read(alone)
            with opened(server, crowd, requests, unread=True) as (wires, _):
                read(opening, wires)
                pump(wires, lambda: False, AFTER_SECONDS)
                read(after, wires)
            pump([wire], lambda: False, 1)
    ratios = {
        f"{when}_of_alone_{name}": beside.quantile(share) / alone.quantile(share)
        for when, beside in (("opening", opening), ("after", after))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    failed = opening.failed + after.failed
    return Result(
        f"starvation: reads of another tenant beside {4 * OF_EACH} unread watches",
        "",
        f"<= {MOST_BESIDE_UNREAD:g} of alone",
        rounds=rounds,
        met=not failed and all(ratio <= MOST_BESIDE_UNREAD for ratio in ratios.values()),
        figures={
            f"{when}_{name}_ms": tally.quantile(share) * 1e3
            for when, tally in (("alone", alone), ("opening", opening), ("after", after))
            for name, share in (("p50", 0.5), ("p99", 0.99))
        }
        | ratios
        | {"failed": failed},
    )


def _of_large_runs(server: Server, tenant: str) -> list[tuple[str, Message]]:
    """Requests of watches that have much to tell."""
    first = ("WatchTaskRecords", WatchTaskRecordsRequest(include_blocks=True))
    with opened(server, tenant, [first]) as (wires, watches):
        _begin(wires, watches)
    token = WatchTaskRecordsResponse.FromString(watches[0].last).resume_token
    runs = list(islice(more_runs(server.target, "large", tenant), LARGE_RUNS))
    data = struct({"scan": "x" * BLOCK_BYTES})
    for run in runs:
        for n in range(BATCHES):
            blocks = (
                BlockRecord(block_id=f"{n}-{m}", status=RUNNING, output_data=data)
                for m in range(BLOCKS)
            )
            request = ReportBlocksRequest(task_record_id=run, block_records=blocks)
            body = request.SerializeToString()
            answer_to(server.target, f"{RECORDS}/ReportBlocks", body, {"x-vwed-tenant": tenant})
    full, found = View.VIEW_FULL, list[tuple[str, Message]]()
    for n in range(OF_EACH):
        run = runs[n % LARGE_RUNS]
        from_token = WatchTaskRecordsRequest(include_blocks=True, view=full, resume_token=token)
        found += [
            ("WatchTaskRecords", from_token),
            ("WatchTaskRecords", WatchTaskRecordsRequest(include_blocks=True, view=full)),
            ("WatchTaskRecord", WatchTaskRecordRequest(task_record_id=run, view=full)),
            ("WatchTaskRecord", WatchTaskRecordRequest(task_record_id=run, view=full, after_seq=0)),
        ]
    return found
