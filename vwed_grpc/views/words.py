"""What is said of runs and blocks alike in a terminal, in a page and in a picture."""

from collections.abc import Mapping
from datetime import UTC, datetime
from json import dumps

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

MARKS: Mapping[str, str] = {
    "": " ",
    "PENDING": ".",
    "RUNNING": ">",
    "PAUSING": "=",
    "PAUSED": "=",
    "CANCELING": "~",
    "INTERRUPTED": "!",
    "SUCCEEDED": "+",
    "FAILED": "x",
    "SKIPPED": "-",
    "CANCELED": "/",
}
"""One ASCII character each: those of boxes and symbols have two widths in East Asian terminals."""

_PREFIX = "TASK_RECORD_STATUS_"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def run_status(run: TaskRecord) -> str:
    """`RUNNING` and so on."""
    return status_name(run.status)


def status_name(status: TaskRecordStatus.ValueType) -> str:
    """The same of a status by itself."""
    return TaskRecordStatus.Name(status).removeprefix(_PREFIX)


def status_of(name: str) -> TaskRecordStatus.ValueType:
    """The status of that name; raises ValueError if there is none."""
    return TaskRecordStatus.Value(_PREFIX + name)


def run_name(run: TaskRecord) -> str:
    """`入库上架 ASN-55017-003`, or with the run's own id if it has no other."""
    return " ".join(filter(None, (run.task_def_name, run.external_id or run.id)))


def block_status(block: BlockRecord) -> str:
    """`RUNNING` and so on."""
    return BlockRecordStatus.Name(block.status).removeprefix("BLOCK_RECORD_STATUS_")


def block_title(block: BlockRecord) -> str:
    """`pick_line[1.2] #2 拣货`: the iteration, and the attempt if it is not the first."""
    iteration = f"[{block.iteration}]" if block.iteration else ""
    attempt = f" #{block.attempt}" if block.attempt > 1 else ""
    return f"{block.block_id}{iteration}{attempt} {block.name}".rstrip()


def run_error(run: TaskRecord) -> str:
    """`JAM: the fork is stuck`; either may be missing."""
    return ": ".join(filter(None, (run.error_code, run.error_message)))


def moment(time: Timestamp) -> datetime | None:
    """In UTC; None: unset."""
    return time.ToDatetime(tzinfo=UTC) if time.ByteSize() else None


def time_given(text: str) -> datetime:
    """What a person wrote in ISO form, in UTC unless it says otherwise; raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def duration(seconds: float) -> str:
    """`0.03s`, `1.2s`, `3m05s`, `2h07m`, `3d04h`."""
    if seconds < 1:
        return f"{max(seconds, 0.0):.2f}s"
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def percent(progress: float) -> str:
    """`99%` of what has a little left to do, however little."""
    return f"{int(progress * 100 + 1e-9)}%"


def entry_text(entry: DataCache) -> str:
    """An entry's value as JSON; of bytes and times, as protobuf writes them there."""
    kind = entry.WhichOneof("value")
    if kind is None:
        return ""
    value = MessageToDict(entry, preserving_proto_field_name=True)[kind]
    return str(value) if kind == "int_value" else dumps(value, ensure_ascii=False)


def age(time: Timestamp, now: datetime) -> str:
    """How long ago that was, or "" if it is unset."""
    then = moment(time)
    return "" if then is None else duration((now - then).total_seconds())
