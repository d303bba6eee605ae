"""Everything around a servicer's method: one wrapper for all calls, not a chain of them.

Who calls, whether there is room, what an error becomes, and the call's line in the log.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Never

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]  # has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # has no types
from structlog.contextvars import bind_contextvars

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.rpc.call import REQUEST_ID, Call, open_call
from vwed_grpc.rpc.errors import draining, to_status
from vwed_grpc.rpc.gate import Gate
from vwed_grpc.rpc.limits import CallLimit, OpenCall
from vwed_grpc.rpc.methods import Context, Method, serve

SLOW_SECONDS = 1.0

Handle = Callable[[Any, Context], Awaitable[bytes | None]]


class Edge:
    """Wraps servicer methods, knows the calls that are open, and ends them when it drains."""

    def __init__(self, *, max_calls: int = 2_000, max_streams: int = 10_000) -> None:
        """Streams are counted apart, since they stay: they must not starve the other calls."""
        self._calls = CallLimit(max_calls, "TOO_MANY_CALLS")
        self._streams = CallLimit(max_streams, "TOO_MANY_STREAMS")
        self._draining = False
        self._refused = 0
        self._gate = Gate()
        self._log = structlog.get_logger().bind()
        self._verbose: bool = self._log.is_enabled_for(logging.DEBUG)

    def wrap(self, method: MethodDescriptor, implementation: Method | None) -> Handle:
        """What gRPC calls for `method`: bytes or nothing in, bytes or nothing out."""
        answer = serve(method, implementation)
        streams = method.client_streaming or method.server_streaming
        room = self._streams if streams else self._calls
        # A stream is meant to last, and a caller who asks for a wait gets one.
        timed = not streams and "wait" not in method.input_type.fields_by_name

        async def handle(raw: Any, context: Context) -> bytes | None:
            began = time.perf_counter()
            call, problems = open_call(
                context.invocation_metadata() or (), context.time_remaining()
            )
            bind_contextvars(request_id=call.request_id)
            opened: OpenCall | None = None
            try:
                if not streams:
                    await self._gate.enter()
                await context.send_initial_metadata(((REQUEST_ID, call.request_id),))
                if self._draining:
                    self._refused += 1
                    raise draining()  # noqa: TRY301 - becomes a status as any other error does
                if problems:
                    raise InvalidArgument(*problems)  # noqa: TRY301 - as above
                opened = room.enter()
                try:
                    result = await answer(raw, context, call)
                finally:
                    room.calls.discard(opened)
            except asyncio.CancelledError as cancelled:
                failure = _failure(cancelled, opened)
            except grpc.aio.BaseError as gone:  # how sending to a caller who left ends
                raise asyncio.CancelledError from gone
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                failure = error
            else:
                self._note(method, call, began, "OK", timed=timed)
                return result
            status = to_status(failure, call.request_id)
            self._note(method, call, began, code_pb2.Code.Name(status.code), timed=timed)
            return await _abort(context, status)

        return handle

    async def drain(self, grace: float) -> None:
        """Refuses new calls, ends open streams, and gives other calls `grace` seconds to end.

        Then they are ended too; all whose call was ended or refused get UNAVAILABLE `DRAINING`.
        Stop the gRPC server afterwards, which need not wait any more.
        """
        self._draining = True
        for stream in set(self._streams.calls):
            stream.end()
        if tasks := {opened.task for opened in self._calls.calls | self._streams.calls}:
            await asyncio.wait(tasks, timeout=grace)
        for late in set(self._calls.calls):
            late.end()
        await self._refuse_the_rest()

    async def _refuse_the_rest(self) -> None:
        """Until no more calls come, a second at the most.

        What gRPC has taken in, but not handed over yet, is CANCELLED without a word by its stop.
        """
        for _ in range(20):
            refused = self._refused
            await asyncio.sleep(0.05)
            if self._refused == refused:
                return

    def _note(
        self, method: MethodDescriptor, call: Call, began: float, code: str, *, timed: bool
    ) -> None:
        seconds = time.perf_counter() - began
        slow = timed and seconds > SLOW_SECONDS
        if slow or self._verbose:
            self._log.log(
                logging.WARNING if slow else logging.DEBUG,
                "slow call" if slow else "call",
                method=method.full_name,
                code=code,
                seconds=round(seconds, 6),
                tenant=call.tenant,
                actor=call.actor,
                request_id=call.request_id,
            )


def _failure(cancelled: asyncio.CancelledError, opened: OpenCall | None) -> BaseException:
    """Why a call that was cut did not end as it should; raises if its own caller cut it.

    A CancelledError that gRPC gets to see although the caller did not leave sends no status, and
    the caller would wait until its deadline.
    """
    task = asyncio.current_task()
    ended = opened is not None and opened.ended
    if task is not None and (task.uncancel() if ended else task.cancelling()):
        raise cancelled
    return draining() if ended else cancelled


async def _abort(context: Context, status: status_pb2.Status) -> Never:
    try:
        await context.abort_with_status(rpc_status.to_status(status))
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError as gone:
        raise asyncio.CancelledError from gone
