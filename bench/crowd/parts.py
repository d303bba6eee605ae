"""What tenant B does all at once, each as a part of its own."""

import itertools
from collections.abc import Callable
from functools import partial

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from vwed.v1.cache_service_pb2 import ListDataCacheRequest, SetDataCacheRequest
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    ListTaskRecordsResponse,
    SummarizeTaskRecordsRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    ExportTaskDefsRequest,
    GetTaskDefRequest,
    ImportTaskDefsOptions,
    ImportTaskDefsRequest,
)

from bench.crowd.again import Again, Crowd
from bench.crowd.tenants import B, metadata, reports, run_ids
from bench.frames import Connection
from bench.paths import CACHE, DEFINITIONS, RECORDS
from bench.seed import DEFINITION

REPORTERS = 64
FEEDS, UNREAD_FEEDS = 50, 10
WATCHES, UNREAD_WATCHES = 200, 50
POLLERS, PAGE_SIZES = 8, (50, 1_000)
SUMMARIES = 4
CLAIMS = 1_000
HALF_SENT, SAID, SENT = 100, 4_000_000, 60_000
"""Uploads, the bytes that each says it will send, and those that it sends."""
IMPORTED, BLOCKS = 100, 40
"""Definitions an import, and blocks of each."""
READERS, WRITERS, EXPIRES = 128, 64, 20
"""Of what is read by its key, and of entries that expire after so many seconds."""

Part = Callable[[Crowd, str], None]


def _wires(crowd: Crowd, target: str, count: int, *, unread: bool = False) -> list[Connection]:
    wires = [Connection(target, metadata(B), unread=unread) for _ in range(count)]
    crowd.wires += wires
    return wires


def _repeat(wire: Connection, path: str, request: Message) -> Callable[[Again], None]:
    return partial(_call, wire, path, request.SerializeToString())


def _call(wire: Connection, path: str, body: bytes, again: Again) -> None:
    wire.open(path, again, body)


def reporters(crowd: Crowd, target: str) -> None:
    source = reports()

    def report(wire: Connection, again: Again) -> None:
        wire.open(f"{RECORDS}/ReportBlock", again, next(source))

    wires = _wires(crowd, target, 8)
    for n in crowd.some(REPORTERS):
        crowd.add("reports", partial(report, wires[n % 8]))


def feeds(crowd: Crowd, target: str) -> None:
    request = WatchTaskRecordsRequest(include_blocks=True)
    read, unread = _wires(crowd, target, 4), _wires(crowd, target, 1, unread=True)
    for n in crowd.some(FEEDS):
        is_unread = n in crowd.some(UNREAD_FEEDS)
        kind, wires = ("unread feeds", unread) if is_unread else ("feeds", read)
        call = _repeat(wires[n % len(wires)], f"{RECORDS}/WatchTaskRecords", request)
        crowd.add(kind, call)


def watches(crowd: Crowd, target: str) -> None:
    read, unread = _wires(crowd, target, 4), _wires(crowd, target, 2, unread=True)
    for n, run in zip(crowd.some(WATCHES), itertools.cycle(run_ids()), strict=False):
        is_unread = n in crowd.some(UNREAD_WATCHES)
        kind, wires = ("unread watches", unread) if is_unread else ("watches", read)
        request = WatchTaskRecordRequest(task_record_id=run, view=View.VIEW_FULL)
        call = _repeat(wires[n % len(wires)], f"{RECORDS}/WatchTaskRecord", request)
        crowd.add(kind, call)


def lists(crowd: Crowd, target: str) -> None:
    """Each through all pages, again and again."""

    def page(wire: Connection, size: int, again: Again) -> None:
        last = ListTaskRecordsResponse.FromString(again.last)
        request = ListTaskRecordsRequest(page_size=size, page_token=last.next_page_token)
        wire.open(f"{RECORDS}/ListTaskRecords", again, request.SerializeToString())

    (wire,) = _wires(crowd, target, 1)
    for n in crowd.some(POLLERS):
        crowd.add("lists", partial(page, wire, PAGE_SIZES[n % len(PAGE_SIZES)]))


def summaries(crowd: Crowd, target: str) -> None:
    by = SummarizeTaskRecordsRequest.GroupBy
    request = SummarizeTaskRecordsRequest(group_by=[by.GROUP_BY_TASK_DEF, by.GROUP_BY_HOUR])
    getattr(request.end_time, "from").FromJsonString("2026-01-01T00:00:00Z")
    request.end_time.to.FromJsonString("2026-03-01T00:00:00Z")
    (wire,) = _wires(crowd, target, 1)
    for _ in crowd.some(SUMMARIES):
        crowd.add("summaries", _repeat(wire, f"{RECORDS}/SummarizeTaskRecords", request))


def claims(crowd: Crowd, target: str) -> None:
    """They wait for runs that do not come."""
    wires = _wires(crowd, target, 4)
    for n in crowd.some(CLAIMS):
        request = ClaimTaskRecordsRequest(executor_id=f"claimer-{n}")
        request.wait.seconds = 60
        crowd.add("claims", _repeat(wires[n % 4], f"{RECORDS}/ClaimTaskRecords", request))


def half_sent(crowd: Crowd, target: str) -> None:
    entry = DataCache(task_record_id=run_ids()[0], key="large", string_value="x" * SAID)
    beginning = SetDataCacheRequest(data_cache=entry).SerializeToString()[:SENT]

    def send(wire: Connection, again: Again) -> None:
        wire.send(wire.open(f"{CACHE}/SetDataCache", again), beginning, size=SAID)

    wires = _wires(crowd, target, 4)
    for n in crowd.some(HALF_SENT):
        crowd.add("half-sent uploads", partial(send, wires[n % 4]))


def exports(crowd: Crowd, target: str) -> None:
    (wire,) = _wires(crowd, target, 1)
    path, request = f"{DEFINITIONS}/ExportTaskDefs", ExportTaskDefsRequest()
    crowd.add("exports", _repeat(wire, path, request))


def imports(crowd: Crowd, target: str) -> None:
    """Each import has every definition change."""
    turns = itertools.count(1)
    _imports(crowd, target, ImportTaskDefsOptions.CONFLICT_OVERWRITE, lambda: f"turn {next(turns)}")


def unchanged_imports(crowd: Crowd, target: str) -> None:
    """The first one makes them, and each later one finds them: versions are kept for ever."""
    _imports(crowd, target, ImportTaskDefsOptions.CONFLICT_SKIP, lambda: "the first turn")


def _imports(
    crowd: Crowd,
    target: str,
    conflict: ImportTaskDefsOptions.Conflict.ValueType,
    describe: Callable[[], str],
) -> None:
    blocks = [{"id": f"block-{n}", "type": "drive", "name": f"站 {n}"} for n in range(BLOCKS)]
    config = Struct()
    config.update({"blocks": blocks})
    options = ImportTaskDefsOptions(conflict=conflict)
    first = ImportTaskDefsRequest(options=options).SerializeToString()

    def send(wire: Connection, again: Again) -> None:
        stream, description = wire.open(f"{DEFINITIONS}/ImportTaskDefs", again), describe()
        wire.send(stream, first)
        for n in range(IMPORTED):
            item = TaskDef(id=f"crowd-{n}", name=f"crowd {n}", version=1, config=config)
            item.description = f"as of {description}"
            message = ImportTaskDefsRequest(task_def=item).SerializeToString()
            wire.send(stream, message, last=n == IMPORTED - 1)

    (wire,) = _wires(crowd, target, 1)
    crowd.add("imports", partial(send, wire))


def gets(crowd: Crowd, target: str) -> None:
    """Each reads one run after the other, and the definition now and then."""
    definition = GetTaskDefRequest(id=DEFINITION).SerializeToString()
    runs = itertools.cycle(GetTaskRecordRequest(id=run).SerializeToString() for run in run_ids())
    turns = itertools.count()

    def get(wire: Connection, again: Again) -> None:
        if next(turns) % 8:
            wire.open(f"{RECORDS}/GetTaskRecord", again, next(runs))
        else:
            wire.open(f"{DEFINITIONS}/GetTaskDef", again, definition)

    wires = _wires(crowd, target, 4)
    for n in crowd.some(READERS):
        crowd.add("gets", partial(get, wires[n % 4]))


def entries(crowd: Crowd, target: str) -> None:
    """Each sets what expires, and reads what another one has set."""
    runs = itertools.cycle(run_ids())
    turns = itertools.count()

    def ask(wire: Connection, again: Again) -> None:
        run, turn = next(runs), next(turns)
        if turn % 2:
            key = DataCache(task_record_id=run, key="place", string_value=f"P-{turn}")
            request = SetDataCacheRequest(data_cache=key)
            request.ttl.seconds = EXPIRES
            wire.open(f"{CACHE}/SetDataCache", again, request.SerializeToString())
        else:
            body = ListDataCacheRequest(task_record_id=run).SerializeToString()
            wire.open(f"{CACHE}/ListDataCache", again, body)

    wires = _wires(crowd, target, 4)
    for n in crowd.some(WRITERS):
        crowd.add("entries", partial(ask, wires[n % 4]))


PARTS: dict[str, Part] = {
    part.__name__: part
    for part in (
        reporters,
        feeds,
        watches,
        lists,
        summaries,
        claims,
        half_sent,
        exports,
        imports,
    )
}

ALL = PARTS | {part.__name__: part for part in (unchanged_imports, gets, entries)}
"""With those of an everyday load, which the bench measures by themselves."""
