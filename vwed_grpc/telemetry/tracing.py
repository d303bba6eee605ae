"""Traces by OpenTelemetry's API: a call, and what it asked of PostgreSQL and Redis.

Whether a call is traced is decided before OpenTelemetry hears of it: a span that is made and thrown
away would cost every call a tenth. A caller's own decision (`traceparent`) comes first. What is not
traced costs a look at a context variable for each statement.
"""

import random
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_tracer = trace.get_tracer("vwed_grpc")
_format = TraceContextTextMapPropagator()
_PARENT = "traceparent"
"""Metadata of callers that trace."""
_CARRIED = frozenset(_format.fields)
"""With what may come with it."""
_current: ContextVar[Span | None] = ContextVar("vwed_span", default=None)
_UNTRACED = nullcontext()
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""Codes that mean a fault of the server's, by OpenTelemetry's conventions for gRPC."""


class Tracing:
    """Decides which calls are traced."""

    def __init__(self, share: float) -> None:
        """`share`, from 0 to 1: of the calls whose callers have not decided."""
        self._share = share

    def begin(
        self, service: str, method: str, metadata: Collection[tuple[str, str | bytes]]
    ) -> Span | None:
        """The span of a call; None: it is not traced."""
        context = None
        for key, _ in metadata:
            if key == _PARENT:
                context = _format.extract({k: str(v) for k, v in metadata if k in _CARRIED})
                break
        caller = trace.get_current_span(context).get_span_context() if context else None
        if caller is not None and caller.is_valid:
            if not caller.trace_flags.sampled:
                return None
        elif random.random() >= self._share:  # noqa: S311 - no secret
            return None
        return _tracer.start_span(
            f"{service}/{method}",
            context,
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )


def end_call(span: Span, code: str) -> None:
    """Ends the span of a call that ended with the code of that name."""
    span.set_attribute("rpc.response.status_code", code)
    if code in _FAULTS:
        span.set_status(Status(StatusCode.ERROR, code))
    span.end()


def trace_id(span: Span) -> str:
    return trace.format_trace_id(span.get_span_context().trace_id)


def enter(span: Span) -> None:
    """What this task does from here on, and the tasks that it makes, belongs to the span."""
    _current.set(span)


def current() -> Span | None:
    """The span that the present work belongs to, unless that has ended."""
    span = _current.get()
    return span if span is not None and span.is_recording() else None


def begin_step(system: str, what: object) -> Span | None:
    """The span of what another system is asked, if the present work is traced.

    `what` is read as text then, and has no values of anybody's: a statement with its parameters as
    `$1`, a command's name.
    """
    if _current.get() is None or (parent := current()) is None:
        return None
    text = str(what)
    return _tracer.start_span(
        f"{system} {text.split(maxsplit=1)[0].strip(';')}",
        trace.set_span_in_context(parent),
        SpanKind.CLIENT,
        {"db.system.name": system, "db.query.text": text},
    )


def end_step(span: Span, failure: BaseException | None = None) -> None:
    """Of a failure its kind alone is told: its text may show callers' data."""
    if failure is not None:
        span.set_status(Status(StatusCode.ERROR, type(failure).__name__))
    span.end()


def step(system: str, what: object) -> AbstractContextManager[None]:
    """A step that lasts as long as what is done within; see `begin_step`."""
    span = begin_step(system, what)
    return _UNTRACED if span is None else _step(span)


@contextmanager
def _step(span: Span) -> Iterator[None]:
    failure = None
    try:
        yield
    except Exception as exc:
        failure = exc
        raise
    finally:
        end_step(span, failure)


def begin_shared(askers: Iterable[Span | None]) -> Span | None:
    """The span of work that several asked for, if one of them is traced; who does it ends it.

    It is in the trace of the first that is traced, linked to the others. The task that does it may
    have been made by somebody else's call, so it forgets that one.
    """
    traced = [span for span in askers if span is not None and span.is_recording()]
    if not traced:
        _current.set(None)
        return None
    first, *others = traced
    span = _tracer.start_span(
        "shared work",
        trace.set_span_in_context(first),
        links=[Link(other.get_span_context()) for other in others],
    )
    _current.set(span)
    return span
