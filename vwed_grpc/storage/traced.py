"""Statements that SQLAlchemy executes, as steps of a trace; `statement` has those of the driver."""

from typing import Any

import sqlalchemy as sa

from vwed_grpc.telemetry.tracing import begin_step, end_step


def trace_statements(engine: sa.Engine) -> None:
    """Those of the engine, where the work that executes them is traced."""
    sa.event.listen(engine, "before_cursor_execute", _began)
    sa.event.listen(engine, "after_cursor_execute", _ended)
    sa.event.listen(engine, "handle_error", _failed)


def _began(
    _connection: object,
    _cursor: object,
    statement: str,
    _parameters: object,
    context: Any,
    _many: object,
) -> None:
    if context is not None:
        context.vwed_span = begin_step("postgresql", statement)


def _ended(
    _connection: object,
    _cursor: object,
    _statement: str,
    _parameters: object,
    context: Any,
    _many: object,
) -> None:
    span = getattr(context, "vwed_span", None)
    if span is not None:
        end_step(span)


def _failed(failure: sa.engine.ExceptionContext) -> None:
    span = getattr(failure.execution_context, "vwed_span", None)
    if span is not None:
        end_step(span, failure.original_exception)
