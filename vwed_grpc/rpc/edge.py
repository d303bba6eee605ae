"""Everything around a servicer's method: one wrapper for all calls, not a chain of them.

Who calls, whether there is room, what an error becomes, and the call's line in the log.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Never

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]  # has no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # has no types
from opentelemetry.trace import Span
from structlog.contextvars import bind_contextvars

from vwed_grpc.domain.errors import InvalidArgument, ResourceExhausted, Violation, VwedError
from vwed_grpc.limits import Limits
from vwed_grpc.loop.pacing import Pace
from vwed_grpc.rpc.admission import Admission, Terms
from vwed_grpc.rpc.audit import Audit, naming
from vwed_grpc.rpc.authentication import Authentication, Metadata
from vwed_grpc.rpc.call import REQUEST_ID, Call, open_call
from vwed_grpc.rpc.call_classes import CallClass, may_wait
from vwed_grpc.rpc.errors import draining, drop_tracebacks, to_status
from vwed_grpc.rpc.gate import Gate
from vwed_grpc.rpc.methods import Context, Method, Serve, serve
from vwed_grpc.rpc.scopes import changes
from vwed_grpc.rpc.standing import Standing
from vwed_grpc.telemetry.meters import CallEnded, Meters
from vwed_grpc.telemetry.tracing import Tracing, end_call, enter, trace_id

SLOW_SECONDS = 1.0
_LEFT = "CANCELLED"
"""The code of a call whose caller left, as gRPC tells it."""
_LAST_WORDS_SECONDS = 1.0
"""What the last refusals may take to their callers."""

Handle = Callable[[Any, Context], Awaitable[bytes | None]]


class Edge:
    """Wraps servicer methods, knows the calls that are open, and ends them when it drains."""

    def __init__(
        self,
        limits: Limits,
        *,
        authentication: Authentication | None = None,
        audit: Audit | None = None,
        meters: Meters | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """What is None is not done: nobody has to say who calls, is noted, measured or traced."""
        self.refused = Counter[str]()
        """Calls that met a limit, by its reason."""
        self._meters = meters
        self._tracing = tracing
        self._admission = Admission(limits)
        self._gate = Gate()
        self.pace = Pace(lambda: self._gate.is_waited_at or self._admission.robots_wait())
        """Of all work that can wait."""
        self._authentication = authentication or Authentication()
        self._audit = audit
        self._calls: set[Standing] = set()
        self._draining = False
        self._refused = 0
        self._refusing = asyncio.Event()
        self._refusing.set()
        self._log = structlog.get_logger().bind()
        self._verbose: bool = self._log.is_enabled_for(logging.DEBUG)

    def wrap(self, method: MethodDescriptor, implementation: Method | None) -> Handle:
        """What gRPC calls for `method`: bytes or nothing in, bytes or nothing out.

        Raises LookupError if nobody has said which scopes the RPC needs.
        """
        guard = self._authentication.guard(method)
        audited = self._audit is not None and changes(method)
        terms = self._admission.terms(method)
        named = naming(method, implementation) if audited else implementation
        answer = self._answer(method, named, terms)
        timed = not may_wait(method)
        enter = self._entering(terms)
        begin_span = self._traced(method, lasts=terms.lasting is not None)
        note = partial(self._note, method, self._measured(method, timed=timed), timed=timed)

        async def handle(_: Any, context: Context) -> bytes | None:
            began = time.perf_counter()
            metadata: Any = context.invocation_metadata() or ()
            call, problems = open_call(metadata, context.time_remaining())
            call.named = {} if audited else None
            bind_contextvars(request_id=call.request_id)
            span = begin_span(call, metadata)
            task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # gRPC runs every call in one
            standing = call.standing = Standing(terms, context, task, call.tenant)
            header_sent = False
            self._calls.add(standing)
            try:
                await enter()
                if guard is not None:
                    guard(call, metadata, context)
                _accept(problems)
                raw = await standing.admit()
                header_sent = True
                await context.send_initial_metadata(((REQUEST_ID, call.request_id),))
                result = await answer(raw, context, call)
            except (asyncio.CancelledError, grpc.aio.BaseError) as cut:
                failure = _failure(cut, standing)
                drop_tracebacks(cut)
                if failure is None:
                    note(call, began, _LEFT, span)
                    raise asyncio.CancelledError from cut
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                failure = error
            else:
                note(call, began, "OK", span)
                return result
            finally:
                standing.close()
                self._calls.discard(standing)
            if isinstance(failure, ResourceExhausted):
                self.refused[failure.reason] += 1
            status = to_status(failure, call.request_id)
            note(call, began, code_pb2.Code.Name(status.code), span)
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

    def note_disk(self, *, is_full: bool) -> None:
        """While it is full, calls that need more of it are refused."""
        self._admission.disk.is_full = is_full

    def end_waits(self, why: VwedError) -> None:
        """Ends the calls that last, but for health checks: their callers are to begin anew."""
        for call in list(self._calls):
            if call.waits_in(self._admission.waits) and call.terms.call_class != CallClass.PROBE:
                call.end(why)

    def _entering(self, terms: Terms) -> Callable[[], Awaitable[None]]:
        """Waits for the calls that arrive with it; while the server drains, only probes go on."""
        lasts = terms.lasting is not None
        gathers = not (lasts or terms.call_class.can_wait)  # whoever is at the gate needs the loop
        probes = terms.call_class is CallClass.PROBE and not lasts

        async def enter() -> None:
            if gathers:
                await self._gate.enter()
            if self._draining and not (probes and self._refusing.is_set()):
                await self._refuse()

        return enter

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

    def open_streams(self) -> Mapping[str, int]:
        """How many there are, by the class in which they work."""
        counts = dict.fromkeys((each.value for each in CallClass), 0)
        for call in self._calls:
            if call.terms.lasting is not None:
                counts[call.terms.call_class.value] += 1
        return counts

    def queued_calls(self) -> Mapping[str, int]:
        """How many wait for a place, by their class."""
        return {each.value: places[0].queued for each, places in self._admission.places.items()}

    def _traced(
        self, method: MethodDescriptor, *, lasts: bool
    ) -> Callable[[Call, Metadata], Span | None]:
        """What begins the span of a call; none for those that are not traced."""
        tracing, service, name = self._tracing, method.containing_service.full_name, method.name
        if tracing is None:
            return lambda _call, _metadata: None

        def begin(call: Call, metadata: Metadata) -> Span | None:
            span = tracing.begin(service, name, metadata)
            if span is not None:
                span.set_attributes(
                    {"vwed.tenant": call.tenant, "vwed.request_id": call.request_id}
                )
                bind_contextvars(trace_id=trace_id(span))
                if not lasts:  # what a stream does has no end
                    enter(span)
            return span

        return begin

    def _measured(self, method: MethodDescriptor, *, timed: bool) -> CallEnded:
        if self._meters is None:
            return lambda _code, _seconds: None
        return self._meters.calls_of(method.containing_service.name, method.name, timed=timed)

    def _audited(self, method: MethodDescriptor, call: Call, code: str) -> None:
        if call.named is not None and self._audit is not None:
            self._audit.write(call, method, code)

    def _note(
        self,
        method: MethodDescriptor,
        ended: CallEnded,
        call: Call,
        began: float,
        code: str,
        span: Span | None,
        *,
        timed: bool,
    ) -> None:
        self._audited(method, call, code)
        seconds = time.perf_counter() - began
        ended(code, seconds)
        if span is not None:
            end_call(span, code)
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


def _accept(problems: Sequence[Violation]) -> None:
    if problems:
        raise InvalidArgument(*problems)


def _failure(
    cut: asyncio.CancelledError | grpc.aio.BaseError, call: Standing
) -> BaseException | None:
    """Why a call that was cut did not end as it should; None: its caller left.

    A CancelledError that gRPC gets to see although the caller did not leave sends no status, and
    the caller would wait until its deadline.
    """
    if isinstance(cut, grpc.aio.BaseError):  # how sending to a caller who left ends
        return None
    ended = call.ended
    if call.task.uncancel() if ended else call.task.cancelling():
        return None
    return ended or cut


async def _abort(context: Context, status: status_pb2.Status, request_id: str | None) -> Never:
    """Sends the status, and the header before it if there is a request id."""
    try:
        if request_id is not None:
            await context.send_initial_metadata(((REQUEST_ID, request_id),))
        await context.abort_with_status(rpc_status.to_status(status))
    except grpc.aio.AbortError as aborted:
        # gRPC keeps it with the call, which its traceback leads to: a circle, once it is caught.
        asyncio.get_running_loop().call_soon(aborted.with_traceback, None)
        raise
    except grpc.aio.BaseError as gone:
        raise asyncio.CancelledError from gone
