"""Everything around a servicer's method: one wrapper for all calls, not a chain of them.

Who calls, whether there is room, what an error becomes, and the call's line in the log.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Never

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]  # has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # has no types
from structlog.contextvars import bind_contextvars

from vwed_grpc.domain.errors import InvalidArgument, ResourceExhausted
from vwed_grpc.limits import Limits
from vwed_grpc.pacing import Pace
from vwed_grpc.rpc.admission import Admission, Terms
from vwed_grpc.rpc.call import REQUEST_ID, Call, open_call
from vwed_grpc.rpc.call_classes import CallClass
from vwed_grpc.rpc.errors import draining, to_status
from vwed_grpc.rpc.gate import Gate
from vwed_grpc.rpc.methods import Context, Method, Serve, serve
from vwed_grpc.rpc.standing import Standing

SLOW_SECONDS = 1.0
_LAST_WORDS_SECONDS = 1.0
"""What the last refusals may take to their callers."""

Handle = Callable[[Any, Context], Awaitable[bytes | None]]


class Edge:
    """Wraps servicer methods, knows the calls that are open, and ends them when it drains."""

    def __init__(self, limits: Limits) -> None:
        self.refused = Counter[str]()
        """Calls that met a limit, by its reason."""
        self._admission = Admission(limits)
        self._gate = Gate()
        self.pace = Pace(lambda: self._gate.is_waited_at or self._admission.robots_wait())
        """Of all work that can wait."""
        self._calls: set[Standing] = set()
        self._draining = False
        self._refused = 0
        self._refusing = asyncio.Event()
        self._refusing.set()
        self._log = structlog.get_logger().bind()
        self._verbose: bool = self._log.is_enabled_for(logging.DEBUG)

    def wrap(self, method: MethodDescriptor, implementation: Method | None) -> Handle:
        """What gRPC calls for `method`: bytes or nothing in, bytes or nothing out."""
        terms = self._admission.terms(method)
        answer = self._answer(method, implementation, terms)
        lasts = terms.lasting is not None
        gathers = not (lasts or terms.call_class.can_wait)  # whoever is at the gate needs the loop
        probes = terms.call_class is CallClass.PROBE and not lasts
        # A stream is meant to last, and a caller who asks for a wait gets one.
        timed = not lasts and "wait" not in method.input_type.fields_by_name

        async def handle(_: Any, context: Context) -> bytes | None:
            began = time.perf_counter()
            call, problems = open_call(
                context.invocation_metadata() or (), context.time_remaining()
            )
            bind_contextvars(request_id=call.request_id)
            task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # gRPC runs every call in one
            standing = call.standing = Standing(terms, context, task, call.tenant)
            header_sent = False
            self._calls.add(standing)
            try:
                if gathers:
                    await self._gate.enter()
                if self._draining and not (probes and self._refusing.is_set()):
                    await self._refuse()
                if problems:
                    raise InvalidArgument(*problems)  # noqa: TRY301 - becomes a status as any other
                raw = await standing.admit()
                header_sent = True
                await context.send_initial_metadata(((REQUEST_ID, call.request_id),))
                result = await answer(raw, context, call)
            except asyncio.CancelledError as cancelled:
                failure = _failure(cancelled, standing)
            except grpc.aio.BaseError as gone:  # how sending to a caller who left ends
                raise asyncio.CancelledError from gone
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                failure = error
            else:
                self._note(method, call, began, "OK", timed=timed)
                return result
            finally:
                standing.close()
                self._calls.discard(standing)
            if isinstance(failure, ResourceExhausted):
                self.refused[failure.reason] += 1
            status = to_status(failure, call.request_id)
            del failure  # its traceback holds this frame, which would hold the request meanwhile
            self._note(method, call, began, code_pb2.Code.Name(status.code), timed=timed)
            return await _abort(context, status, None if header_sent else call.request_id)

        return handle

    def _answer(
        self, method: MethodDescriptor, implementation: Method | None, terms: Terms
    ) -> Serve:
        answer = serve(method, implementation)
        if terms.call_class.can_wait:
            return self.pace.paced(answer)
        if terms.call_class is not CallClass.LIVE or terms.lasting is not terms.waits:
            return answer

        async def watch(raw: Any, context: Context, call: Call) -> bytes | None:
            return await self.pace.run(answer(raw, context, call), call.can_wait)

        return watch

    async def drain(self, grace: float, stop: Callable[[float], Awaitable[None]]) -> None:
        """Refuses new calls, ends what only waits, gives other calls `grace` seconds, and stops.

        Then they are ended too; all whose call was ended or refused get UNAVAILABLE `DRAINING`.
        `stop` is gRPC's own, which tells clients to go elsewhere. What gRPC has taken in by then,
        but not handed over yet, it cancels without a word. So the last calls are held, that
        whoever calls again and again is quiet, and refused once clients have been told.
        """
        self._draining = True
        self._admission.waits.end_all(draining())
        self._admission.incoming_streams.end_all(draining())
        if tasks := {call.task for call in self._calls}:
            await asyncio.wait(tasks, timeout=grace)
        self._refusing.clear()
        for late in list(self._calls):
            late.end(draining())
        await self._quiet()
        stopping = asyncio.ensure_future(stop(_LAST_WORDS_SECONDS))
        await asyncio.sleep(0)
        self._refusing.set()
        await stopping

    def open_calls(self) -> Mapping[str, int]:
        """How many there are of each class; of streams and waiting claims, together, as waits."""
        counts = dict.fromkeys((*(each.value for each in CallClass), "waits"), 0)
        for call in self._calls:
            counts[call.counted_as] += 1
        return counts

    async def _refuse(self) -> Never:
        self._refused += 1
        await self._refusing.wait()
        raise draining()

    async def _quiet(self) -> None:
        """Until no more calls come, a second at the most."""
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


def _failure(cancelled: asyncio.CancelledError, call: Standing) -> BaseException:
    """Why a call that was cut did not end as it should; raises if its own caller cut it.

    A CancelledError that gRPC gets to see although the caller did not leave sends no status, and
    the caller would wait until its deadline.
    """
    ended = call.ended
    if call.task.uncancel() if ended else call.task.cancelling():
        raise cancelled
    return ended or cancelled


async def _abort(context: Context, status: status_pb2.Status, request_id: str | None) -> Never:
    """Sends the status, and the header before it if there is a request id."""
    try:
        if request_id is not None:
            await context.send_initial_metadata(((REQUEST_ID, request_id),))
        await context.abort_with_status(rpc_status.to_status(status))
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError as gone:
        raise asyncio.CancelledError from gone
