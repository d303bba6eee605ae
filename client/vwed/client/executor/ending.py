"""How code ended, and what is said of it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct
from vwed.v1.task_record_pb2 import TaskRecordStatus

from vwed.client.executor.statuses import CANCELED, FAILED, SUCCEEDED
from vwed.client.executor.stopping import BlockFailed, StopReason
from vwed.client.executor.texts import ERROR_CODE, ERROR_MESSAGE, text
from vwed.client.values import as_struct

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("vwed.executor")

Result = Mapping[str, Any] | None
"""What the code of a task returns: the run's result, as JSON."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What FinishTaskRecord is to say."""

    status: TaskRecordStatus.ValueType
    result: Struct | None = None
    error_code: str = ""
    error_message: str = ""


def ending_of(run_id: str, code: "asyncio.Task[Result]", stop: StopReason | None) -> Ending | None:
    """None: the run has not ended, and is to be handed back.

    Code that was stopped may end as it likes: only what it lets be cancelled counts as that.
    """
    if code.cancelled():
        if stop is StopReason.RELEASED:
            return None
        if stop is not None:
            return Ending(CANCELED)
        return Ending(FAILED, None, "CancelledError", "the code cancelled itself")
    exc = code.exception()
    if exc is None:
        try:
            result = code.result()
            return Ending(SUCCEEDED, None if result is None else _struct(result))
        except (TypeError, ValueError) as wrong:
            exc = wrong
    return failed(run_id, exc)


def failed(run_id: str, exc: BaseException) -> Ending:
    cause = _cause(exc)
    if isinstance(cause, BlockFailed):
        log.info("run %s: %s", run_id, cause)
    else:
        log.error("run %s: its code failed", run_id, exc_info=exc)
    error_code, message = _code_and_message(cause)
    return Ending(FAILED, None, text(error_code, ERROR_CODE), text(message, ERROR_MESSAGE))


def said_of(exc: BaseException | None) -> str:
    """The `error_message` of a block whose code ended like this."""
    if not isinstance(exc, Exception):
        return ""
    error_code, message = _code_and_message(_cause(exc))
    return text(f"{error_code}: {message}" if message else error_code, ERROR_MESSAGE)


def _code_and_message(cause: BaseException) -> tuple[str, str]:
    if isinstance(cause, BlockFailed):
        return cause.code, cause.message
    return type(cause).__name__, str(cause)


def _cause(exc: BaseException) -> BaseException:
    """Of several that branches raised, the first BlockFailed, else the first of all."""
    if not isinstance(exc, BaseExceptionGroup):
        return exc
    causes = [_cause(one) for one in exc.exceptions]
    return next((one for one in causes if isinstance(one, BlockFailed)), causes[0])


def _struct(result: object) -> Struct:
    if not isinstance(result, Mapping):
        raise TypeError(f"a task returns a dict, or None, not {type(result).__name__}")
    return as_struct(result)
