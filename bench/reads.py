"""Gets and lists: requests that may repeat."""

from collections.abc import Iterator
from dataclasses import dataclass

from vwed.v1.cache_service_pb2 import GetDataCacheRequest
from vwed.v1.record_service_pb2 import (
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    ListTaskRecordsResponse,
)
from vwed.v1.task_def_service_pb2 import GetTaskDefRequest

from bench.measure import Result, Sample, Shape, compare, repeated
from bench.paths import CACHE, DEFINITIONS, RECORDS
from bench.seed import DEFINITION, KEY, MILLION, RUN
from bench.stand import Stand
from bench.trial import answer_to

SHAPE = Shape(callers=128)
_TYPICAL = 330
"""Bytes of an answer."""
STRONG = {"x-vwed-consistency": "strong"}


@dataclass(frozen=True)
class Read:
    case: str
    least: float
    path: str
    body: bytes
    metadata: dict[str, str] | None = None
    shape: Shape = SHAPE


_DEF = GetTaskDefRequest(id=DEFINITION).SerializeToString()
_AT_1 = GetTaskDefRequest(id=DEFINITION, version=1).SerializeToString()
_RUN = GetTaskRecordRequest(id=RUN).SerializeToString()
_ENTRY = GetDataCacheRequest(task_record_id=RUN, key=KEY).SerializeToString()

GETS = (
    Read("GetTaskDef, Redis hit", 0.65, f"{DEFINITIONS}/GetTaskDef", _DEF),
    Read("GetTaskRecord, Redis hit", 0.65, f"{RECORDS}/GetTaskRecord", _RUN),
    Read("GetDataCache, Redis hit", 0.65, f"{CACHE}/GetDataCache", _ENTRY),
    Read("GetTaskDef at a version, in the process", 0.90, f"{DEFINITIONS}/GetTaskDef", _AT_1),
    Read("GetTaskDef, strong", 0.45, f"{DEFINITIONS}/GetTaskDef", _DEF, STRONG),
    Read("GetTaskRecord, strong", 0.45, f"{RECORDS}/GetTaskRecord", _RUN, STRONG),
    Read("GetDataCache, strong", 0.45, f"{CACHE}/GetDataCache", _ENTRY, STRONG),
)


def read(stand: Stand, case: Read, rounds: int, seconds: float) -> Result:
    size = len(answer_to(stand.server.target, case.path, case.body, case.metadata))
    return compare(
        case.case,
        "calls",
        case.least,
        rounds,
        lambda: repeated(
            stand.server,
            case.path,
            case.body,
            case.shape,
            seconds,
            answer_bytes=size,
            metadata=case.metadata,
        ),
        lambda: repeated(
            stand.floor, f"/bench.Floor/{size}", b"", case.shape, seconds, answer_bytes=size
        ),
    )


def header(stand: Stand, rounds: int, seconds: float) -> Result:
    """What the contract's x-request-id in the initial metadata costs with nothing behind it."""

    def floor(kind: str) -> Sample:
        path = f"/bench.{kind}/{_TYPICAL}"
        return repeated(stand.floor, path, b"", SHAPE, seconds, answer_bytes=_TYPICAL)

    result = compare(
        "the floor with an x-request-id header",
        "calls",
        0.0,
        rounds,
        lambda: floor("FloorHeader"),
        lambda: floor("Floor"),
    )
    result.target, result.met = "none: what it costs", None
    return result


def gets(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    yield header(stand, rounds, seconds)
    for case in GETS:
        yield read(stand, case, rounds, seconds)


def lists(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    """Fifty runs of a million, first and far down; `million` must be filled."""
    path, metadata = f"{RECORDS}/ListTaskRecords", {"x-vwed-tenant": MILLION}
    shape = Shape(callers=64)

    def page(size: int, token: str) -> ListTaskRecordsResponse:
        request = ListTaskRecordsRequest(page_size=size, page_token=token)
        answer = answer_to(stand.server.target, path, request.SerializeToString(), metadata)
        return ListTaskRecordsResponse.FromString(answer)

    token = ""
    for size in [50, *[1000] * 49, 900]:  # 999 pages of 50
        token = page(size, token).next_page_token
    first = ListTaskRecordsRequest(page_size=50).SerializeToString()
    far = ListTaskRecordsRequest(page_size=50, page_token=token).SerializeToString()
    near = read(
        stand,
        Read("ListTaskRecords, 50 of 1 million, page 1", 0.20, path, first, metadata, shape),
        rounds,
        seconds,
    )
    yield near
    result = read(
        stand,
        Read("ListTaskRecords, page 1,000", 0.20, path, far, metadata, shape),
        rounds,
        seconds,
    )
    result.target = "cost <= 1.2 of page 1"
    result.figures["of_page_1"] = near.rate / result.rate if result.rate else 0.0
    result.met = bool(result.rate) and result.figures["of_page_1"] <= 1.2
    yield result
