"""One line of JSON for each call that may change something: who, for whom, what, and how it ended.

Also for calls that were refused, or whose callers left. A stream has one line, at its end.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from queue import SimpleQueue
from sys import stdout
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from vwed_grpc.domain.wire_format import first_text
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.methods import Method

LOGGER = "vwed.audit"
MAX_IDS = 100
"""In one line; a stream may name more."""

_RESOURCES = ("task_def", "task_template", "task_record", "data_cache")


class Audit:
    """Writes the lines to the logger `vwed.audit`."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)

    def write(self, call: Call, method: MethodDescriptor, code: str) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "tenant": call.tenant,
            "actor": call.actor,
            "method": method.full_name,
            "id": ",".join(call.named or ()),
            "code": code,
            "request_id": call.request_id,
        }
        self._logger.info(json.dumps(line, ensure_ascii=False))


def open_audit(stack: ExitStack, where: str) -> Audit:
    """Sends the lines to a file, or for "-" to standard output, from a thread of its own.

    The file may be moved away while it is written to. Raises OSError if it cannot be.
    """
    to: logging.Handler = (
        logging.StreamHandler(stdout) if where == "-" else WatchedFileHandler(where)
    )
    stack.callback(to.close)
    lines: SimpleQueue[Any] = SimpleQueue()
    listener = QueueListener(lines, to)
    listener.start()
    stack.callback(listener.stop)
    handler = QueueHandler(lines)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    stack.callback(logger.removeHandler, handler)
    return Audit()


def naming(method: MethodDescriptor, implementation: Method | None) -> Method | None:
    """As the servicer's method; it notes in the call what requests and answers name."""
    if implementation is None:
        return None
    if method.client_streaming:

        def of_stream(requests: AsyncIterator[Any], call: Call) -> Any:
            return implementation(_named(requests, call), call)

        return of_stream

    async def of_one(request: Message, call: Call) -> Any:
        _note(call, _id_in(request))
        answer = await implementation(request, call)
        _note(call, first_text(answer) if isinstance(answer, bytes) else _id_in(answer))
        return answer

    return of_one


async def _named(requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
    async for checked in requests:
        _note(call, _id_in(checked.request))
        yield checked


def _note(call: Call, id_: str) -> None:
    if id_ and call.named is not None and len(call.named) < MAX_IDS:
        call.named[id_] = None


def _id_in(message: Any) -> str:
    """Of what a message is about; a block and an entry are of a run."""
    fields = message.DESCRIPTOR.fields_by_name
    for name in ("id", "task_record_id"):
        if name in fields and (id_ := getattr(message, name)):
            return str(id_)
    for name in _RESOURCES:
        if name in fields and message.HasField(name):
            return _id_in(getattr(message, name))
    return ""
