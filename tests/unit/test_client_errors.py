"""What a CallError says, of whatever a call may end with."""

import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # has no types
    BadRequest,
    ErrorInfo,
    RequestInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # nor has this
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from vwed import client

from vwed.client import CallError, is_transient
from vwed.client.errors import call_error, was_never_sent, was_refused

BY_CODE = {
    StatusCode.INVALID_ARGUMENT: client.InvalidArgument,
    StatusCode.NOT_FOUND: client.NotFound,
    StatusCode.ALREADY_EXISTS: client.AlreadyExists,
    StatusCode.FAILED_PRECONDITION: client.FailedPrecondition,
    StatusCode.ABORTED: client.Aborted,
    StatusCode.OUT_OF_RANGE: client.OutOfRange,
    StatusCode.RESOURCE_EXHAUSTED: client.ResourceExhausted,
    StatusCode.UNAVAILABLE: client.Unavailable,
    StatusCode.DEADLINE_EXCEEDED: client.DeadlineExceeded,
    StatusCode.UNAUTHENTICATED: client.Unauthenticated,
    StatusCode.PERMISSION_DENIED: client.PermissionDenied,
}
BY_REASON = {
    "LEASE_LOST": client.LeaseLost,
    "RUN_TAKEN": client.RunTaken,
    "ILLEGAL_TRANSITION": client.IllegalTransition,
}


def error(code: StatusCode, *details: Message, message: str = "no") -> AioRpcError:
    packed = [Any() for _ in details]
    for into, detail in zip(packed, details, strict=True):
        into.Pack(detail)
    status = Status(code=code.value[0], message=message, details=packed)
    trailers = Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return AioRpcError(code, Metadata(("x-request-id", "r-1")), trailers, message)


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
def test_each_code_has_its_class(code: StatusCode) -> None:
    assert type(call_error(error(code, ErrorInfo(reason="R")))) is BY_CODE.get(code, CallError)


@pytest.mark.parametrize("reason", BY_REASON)
def test_some_reasons_have_their_own(reason: str) -> None:
    kind = BY_REASON[reason]
    assert issubclass(kind, client.FailedPrecondition)
    info = ErrorInfo(reason=reason)
    assert type(call_error(error(StatusCode.FAILED_PRECONDITION, info))) is kind
    assert type(call_error(error(StatusCode.ABORTED, info))) is client.Aborted


def test_all_that_the_service_says_is_laid_open() -> None:
    told = call_error(
        error(
            StatusCode.INVALID_ARGUMENT,
            ErrorInfo(reason="INVALID_FIELD", domain="vwed", metadata={"a": "b"}),
            RequestInfo(request_id="r-2"),
            BadRequest(
                field_violations=[
                    {"field": "task_def.name", "description": "is empty"},
                    {"field": "task_def.config.blocks[2].id", "description": "stands twice"},
                ]
            ),
            RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
            message="two things\nare wrong",
        )
    )
    assert told.reason == "INVALID_FIELD"
    assert told.metadata == {"a": "b"}
    assert told.fields == {
        "task_def.name": "is empty",
        "task_def.config.blocks[2].id": "stands twice",
    }
    assert told.request_id == "r-2"
    assert told.retry_after == 1.5
    assert str(told) == "INVALID_ARGUMENT INVALID_FIELD: two things are wrong"
    assert call_error(told) is told
    again = pickle.loads(pickle.dumps(told))
    assert (type(again), str(again), again.fields) == (type(told), str(told), told.fields)


def test_of_an_error_that_is_not_the_service_s_little_is_known() -> None:
    broken = AioRpcError(StatusCode.UNAVAILABLE, None, None, "Socket closed")
    told = call_error(broken)
    assert (told.reason, told.metadata, told.fields) == ("", {}, {})
    assert (told.request_id, told.retry_after) == ("", None)
    assert str(told) == "UNAVAILABLE: Socket closed"
    assert told.code() is StatusCode.UNAVAILABLE
    assert isinstance(told, grpc.RpcError)


def test_the_request_id_is_known_where_the_service_has_begun_to_answer() -> None:
    assert call_error(error(StatusCode.INTERNAL)).request_id == "r-1"


INFO, RETRY = ErrorInfo(reason="R"), RetryInfo()


@pytest.mark.parametrize(
    ("code", "details", "transient"),
    [
        (StatusCode.UNAVAILABLE, [], True),
        (StatusCode.UNAVAILABLE, [INFO, RETRY], True),
        (StatusCode.UNAVAILABLE, [INFO], True),
        (StatusCode.RESOURCE_EXHAUSTED, [INFO, RETRY], True),
        (StatusCode.RESOURCE_EXHAUSTED, [INFO], False),
        (StatusCode.RESOURCE_EXHAUSTED, [], False),
        (StatusCode.INTERNAL, [], True),
        (StatusCode.INTERNAL, [INFO], False),
        (StatusCode.UNKNOWN, [], True),
        (StatusCode.CANCELLED, [], True),
        (StatusCode.CANCELLED, [INFO], False),
        (StatusCode.NOT_FOUND, [], False),
        (StatusCode.ABORTED, [INFO, RETRY], False),
    ],
)
def test_what_may_go_away(code: StatusCode, details: list[Message], transient: bool) -> None:
    assert is_transient(error(code, *details)) is transient


def test_only_a_refusal_for_want_of_room_means_that_nothing_was_done() -> None:
    assert was_refused(error(StatusCode.RESOURCE_EXHAUSTED, INFO, RETRY))
    assert not was_refused(error(StatusCode.RESOURCE_EXHAUSTED, INFO))
    assert not was_refused(error(StatusCode.UNAVAILABLE, INFO, RETRY))


def test_a_broken_connection_does_not_mean_that_nothing_was_sent() -> None:
    for message in (
        "Socket closed",
        "Stream removed",
        "GOAWAY received",
        "recvmsg:Connection reset",
    ):
        assert not was_never_sent(error(StatusCode.UNAVAILABLE, message=message))
