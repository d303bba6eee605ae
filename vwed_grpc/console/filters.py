"""Which runs: what the address of a page says, as the service's own filter."""

from collections.abc import Mapping
from datetime import datetime

from starlette.datastructures import QueryParams
from vwed.v1.task_record_pb2 import TaskRecordFilter, TaskRecordStatus

from vwed_grpc.console.errors import BadRequest
from vwed_grpc.views.words import status_of, time_given

_TEXTS = {
    "definition": "task_def_names",
    "definition_id": "task_def_ids",
    "robot": "robot_ids",
    "executor": "executor_ids",
    "external_id": "external_ids",
}


def run_filter(query: QueryParams, *, statuses: bool = True) -> TaskRecordFilter:
    """Each name may stand there several times; `statuses`: False leaves them out, as watches must.

    Raises BadRequest.
    """
    wanted = TaskRecordFilter()
    for name, field in _TEXTS.items():
        getattr(wanted, field).extend(filter(None, query.getlist(name)))
    for label in filter(None, query.getlist("label")):
        key, _, value = label.partition("=")
        wanted.labels[key.strip()] = value.strip()
    if statuses:
        wanted.statuses.extend(map(_status, filter(None, query.getlist("status"))))
    if since := query.get("since"):
        getattr(wanted.create_time, "from").FromDatetime(moment_of(since))
    return wanted


def number(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """Raises BadRequest."""
    given = query.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdecimal() and len(given) < len(str(1 << 62))):
        raise BadRequest(f"{name}: {given!r} is no number")
    return int(given)


def moment_of(text: str) -> datetime:
    """Raises BadRequest."""
    try:
        return time_given(text)
    except ValueError:
        raise BadRequest(f"{text!r} is no time") from None


def _status(name: str) -> TaskRecordStatus.ValueType:
    try:
        return status_of(name)
    except ValueError:
        raise BadRequest(f"{name!r} is no status of a run") from None
