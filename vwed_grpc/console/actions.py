"""What a page may do to a run, where the console allows it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from starlette.requests import Request
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
    RetryTaskRecordRequest,
    SignalTaskRecordRequest,
)

from vwed.client import Client
from vwed_grpc.console.errors import BadRequest
from vwed_grpc.console.messages import plain

_LONGEST_BODY = 128 << 10
_REQUESTS: Mapping[str, type[Message]] = {
    "cancel": CancelTaskRecordRequest,
    "pause": PauseTaskRecordRequest,
    "resume": ResumeTaskRecordRequest,
    "retry": RetryTaskRecordRequest,
    "signal": SignalTaskRecordRequest,
}
VERBS = tuple(_REQUESTS)


def action(verb: str) -> Callable[[Client, Request], Awaitable[dict[str, Any]]]:
    """What a POST does: the verb's own request, as JSON, with the run's id from the path."""
    kind = _REQUESTS[verb]
    method = f"{verb.capitalize()}TaskRecord"

    async def act(client: Client, request: Request) -> dict[str, Any]:
        asked = kind()
        try:
            ParseDict(await _body(request) | {"id": request.path_params["id"]}, asked)
        except ParseError as exc:
            raise BadRequest(str(exc)) from None
        return plain(await getattr(client.records, method)(asked))

    return act


async def _body(request: Request) -> dict[str, Any]:
    body = b""
    async for part in request.stream():
        if len(body) <= _LONGEST_BODY:  # the rest is let go: who still sends hears no answer
            body += part
    if len(body) > _LONGEST_BODY:
        raise BadRequest("the request is too long")
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        raise BadRequest("the request is no JSON") from None
    if not isinstance(content, dict):
        raise BadRequest("the request is no JSON object")
    return content
