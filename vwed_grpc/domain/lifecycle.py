"""The life of a run: the contract's table of statuses, as data, and who may ask for what."""

from enum import Enum, auto
from typing import Protocol, TypeAlias

from vwed.v1.task_record_pb2 import TaskRecordStatus

from vwed_grpc.domain.errors import FailedPrecondition

Status: TypeAlias = TaskRecordStatus.ValueType

PENDING = TaskRecordStatus.TASK_RECORD_STATUS_PENDING
RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
PAUSING = TaskRecordStatus.TASK_RECORD_STATUS_PAUSING
PAUSED = TaskRecordStatus.TASK_RECORD_STATUS_PAUSED
CANCELING = TaskRecordStatus.TASK_RECORD_STATUS_CANCELING
INTERRUPTED = TaskRecordStatus.TASK_RECORD_STATUS_INTERRUPTED
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
CANCELED = TaskRecordStatus.TASK_RECORD_STATUS_CANCELED

FINAL = frozenset({SUCCEEDED, FAILED, CANCELED})
OPEN = frozenset({PENDING, RUNNING, PAUSING, PAUSED, CANCELING, INTERRUPTED})
HELD = frozenset({RUNNING, PAUSING, PAUSED, CANCELING})
"""An executor drives the run, or has stopped with it in its hands."""
REPORTABLE = frozenset({RUNNING, PAUSING, PAUSED, CANCELING, INTERRUPTED})
"""Block reports are taken."""


class Command(Enum):
    """What moves a run. Start and Claim are one: an executor takes it."""

    START = auto()
    PAUSE = auto()
    PAUSE_BY_HOLDER = auto()
    RESUME = auto()
    CANCEL = auto()
    FORCE_CANCEL = auto()
    EXPIRE = auto()
    """The lease ran out."""
    RELEASE = auto()
    """The holder hands the run back."""
    SUCCEED = auto()
    FAIL = auto()
    FINISH_CANCELED = auto()


TRANSITIONS: dict[Command, dict[Status, Status]] = {
    Command.START: {PENDING: RUNNING, INTERRUPTED: RUNNING},
    Command.PAUSE: {RUNNING: PAUSING},
    Command.PAUSE_BY_HOLDER: {RUNNING: PAUSED, PAUSING: PAUSED},
    Command.RESUME: {PAUSING: RUNNING, PAUSED: RUNNING},
    Command.CANCEL: {
        PENDING: CANCELED,
        INTERRUPTED: CANCELED,
        RUNNING: CANCELING,
        PAUSING: CANCELING,
        PAUSED: CANCELING,
    },
    Command.FORCE_CANCEL: dict.fromkeys(OPEN, CANCELED),
    Command.EXPIRE: {
        RUNNING: INTERRUPTED,
        PAUSING: INTERRUPTED,
        PAUSED: INTERRUPTED,
        CANCELING: CANCELED,
    },
    Command.RELEASE: {RUNNING: INTERRUPTED, PAUSING: INTERRUPTED, PAUSED: INTERRUPTED},
    Command.SUCCEED: dict.fromkeys(OPEN - {PENDING}, SUCCEEDED),
    Command.FAIL: dict.fromkeys(OPEN, FAILED),
    Command.FINISH_CANCELED: dict.fromkeys(OPEN - {PENDING}, CANCELED),
}

REPEATS: dict[Command, frozenset[Status]] = {
    Command.PAUSE: frozenset({PAUSING, PAUSED}),
    Command.PAUSE_BY_HOLDER: frozenset({PAUSED}),
    Command.RESUME: frozenset({RUNNING}),
    Command.CANCEL: frozenset({CANCELING, CANCELED}),
    Command.FORCE_CANCEL: frozenset({CANCELED}),
    Command.RELEASE: frozenset({INTERRUPTED}),
}
"""Where the command was obeyed before: asked again, it answers the present state."""

FINISH = {
    SUCCEEDED: Command.SUCCEED,
    FAILED: Command.FAIL,
    CANCELED: Command.FINISH_CANCELED,
}
WANTED: dict[Command, Status] = {
    Command.START: RUNNING,
    Command.PAUSE: PAUSING,
    Command.PAUSE_BY_HOLDER: PAUSED,
    Command.RESUME: RUNNING,
    Command.CANCEL: CANCELING,
    Command.FORCE_CANCEL: CANCELED,
    Command.RELEASE: INTERRUPTED,
    Command.SUCCEED: SUCCEEDED,
    Command.FAIL: FAILED,
    Command.FINISH_CANCELED: CANCELED,
}
"""What a refused command was after, for its error."""


def next_status(command: Command, status: Status) -> Status | None:
    """The status that `command` leads to, None if it was obeyed before.

    Raises FailedPrecondition ILLEGAL_TRANSITION.
    """
    following = TRANSITIONS[command].get(status)
    if following is None and status not in REPEATS.get(command, ()):
        raise illegal_transition(status, WANTED[command])
    return following


def illegal_transition(status: Status, wanted: Status) -> FailedPrecondition:
    names = {"from": TaskRecordStatus.Name(status), "to": TaskRecordStatus.Name(wanted)}
    return FailedPrecondition(
        "ILLEGAL_TRANSITION",
        f"a run cannot go from {names['from']} to {names['to']}",
        metadata=names,
    )


class Fence(Protocol):
    """Who holds a run and since which of its starts, or who says that it does: "", 0: unsaid."""

    executor_id: str
    lease_epoch: int


def check_fence(run: Fence, given: Fence) -> bool:
    """Whether `given` is the holder's: both the run's present executor and its present epoch.

    Raises FailedPrecondition LEASE_LOST if either is said and is not the present one. Nothing may
    be written then, and nothing be said about the run's status: so this comes first.
    """
    executor_id, lease_epoch = given.executor_id, given.lease_epoch
    if (executor_id and executor_id != run.executor_id) or (
        lease_epoch and lease_epoch != run.lease_epoch
    ):
        raise FailedPrecondition(
            "LEASE_LOST",
            "another executor, or a later start of this one, has the run",
            metadata={"executor_id": run.executor_id, "lease_epoch": str(run.lease_epoch)},
        )
    return bool(executor_id and lease_epoch)
