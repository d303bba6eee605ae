"""What a refused call says, checked for what the contract promises of every refusal."""

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # the same

INSIDES = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b|Traceback|site-packages|\.py\b"
    r"|postgres|asyncpg|sqlalchemy|psycopg|redis|unique constraint",
    re.IGNORECASE,
)
"""What no message may show: SQL, drivers, constraints, paths, tracebacks."""


@dataclass(frozen=True)
class Refusal:
    code: str
    reason: str
    fields: list[str]
    """The paths that BadRequest names."""
    metadata: Mapping[str, str]
    message: str
    retry_seconds: float
    """What RetryInfo says; 0: there is none."""


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)
    assert status is not None, f"{error.code()} without details: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.RequestInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for message in (info, request, bad, retry):
        for detail in status.details:
            detail.Unpack(message)
    assert info.domain == "vwed"
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", info.reason)
    assert request.request_id
    shown = [status.message, *(v.description for v in bad.field_violations)]
    assert not [text for text in shown if INSIDES.search(text)]
    fields = [violation.field for violation in bad.field_violations]
    return Refusal(
        error.code().name,
        info.reason,
        fields,
        dict(info.metadata),
        status.message,
        retry.retry_delay.ToMilliseconds() / 1000,
    )


async def refusal(call: Awaitable[Any]) -> Refusal:
    """How the call is refused; fails if it is not."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return read_refusal(raised.value)


async def reason_of(call: Awaitable[Any]) -> str:
    """Why the call is refused by the service, empty if it is not, or if its time is over."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return (
            "" if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else read_refusal(error).reason
        )
    return ""
