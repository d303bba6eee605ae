"""The life of a run against the contract's table, which stands here a second time."""

import pytest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.errors import FailedPrecondition
from vwed_grpc.domain.lifecycle import Command, check_fence, next_status

PENDING = TaskRecordStatus.TASK_RECORD_STATUS_PENDING
RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
PAUSING = TaskRecordStatus.TASK_RECORD_STATUS_PAUSING
PAUSED = TaskRecordStatus.TASK_RECORD_STATUS_PAUSED
CANCELING = TaskRecordStatus.TASK_RECORD_STATUS_CANCELING
INTERRUPTED = TaskRecordStatus.TASK_RECORD_STATUS_INTERRUPTED
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
CANCELED = TaskRecordStatus.TASK_RECORD_STATUS_CANCELED
STATUSES = [value for value in TaskRecordStatus.values() if value]
NAMES = [TaskRecordStatus.Name(value) for value in STATUSES]

FINISHED = {
    Command.SUCCEED: SUCCEEDED,
    Command.FAIL: FAILED,
    Command.FINISH_CANCELED: CANCELED,
}
FORCED = {Command.FORCE_CANCEL: CANCELED}
TABLE = {
    PENDING: {
        Command.START: RUNNING,
        Command.CANCEL: CANCELED,
        Command.FAIL: FAILED,
        **FORCED,
    },
    RUNNING: {
        Command.PAUSE: PAUSING,
        Command.PAUSE_BY_HOLDER: PAUSED,
        Command.CANCEL: CANCELING,
        Command.EXPIRE: INTERRUPTED,
        Command.RELEASE: INTERRUPTED,
        **FINISHED,
        **FORCED,
    },
    PAUSING: {
        Command.PAUSE_BY_HOLDER: PAUSED,
        Command.RESUME: RUNNING,
        Command.CANCEL: CANCELING,
        Command.EXPIRE: INTERRUPTED,
        Command.RELEASE: INTERRUPTED,
        **FINISHED,
        **FORCED,
    },
    PAUSED: {
        Command.RESUME: RUNNING,
        Command.CANCEL: CANCELING,
        Command.EXPIRE: INTERRUPTED,
        Command.RELEASE: INTERRUPTED,
        **FINISHED,
        **FORCED,
    },
    INTERRUPTED: {
        Command.START: RUNNING,
        Command.CANCEL: CANCELED,
        **FINISHED,
        **FORCED,
    },
    CANCELING: {Command.EXPIRE: CANCELED, **FINISHED, **FORCED},
    SUCCEEDED: {},
    FAILED: {},
    CANCELED: {},
}
AGAIN = {
    (PAUSING, Command.PAUSE),
    (PAUSED, Command.PAUSE),
    (PAUSED, Command.PAUSE_BY_HOLDER),
    (RUNNING, Command.RESUME),
    (CANCELING, Command.CANCEL),
    (CANCELED, Command.CANCEL),
    (CANCELED, Command.FORCE_CANCEL),
    (INTERRUPTED, Command.RELEASE),
}
"""Where a command was obeyed before: asked again, it answers the present state."""
ASKED = [command for command in Command if command is not Command.EXPIRE]


@pytest.mark.parametrize("command", Command, ids=lambda c: c.name)
@pytest.mark.parametrize("status", STATUSES, ids=TaskRecordStatus.Name)
def test_a_command_leads_where_the_contract_says(
    status: TaskRecordStatus.ValueType, command: Command
) -> None:
    assert lifecycle.TRANSITIONS[command].get(status) == TABLE[status].get(command)


@pytest.mark.parametrize("command", ASKED, ids=lambda c: c.name)
@pytest.mark.parametrize("status", STATUSES, ids=TaskRecordStatus.Name)
def test_what_leads_nowhere_is_refused_unless_it_was_obeyed_before(
    status: TaskRecordStatus.ValueType, command: Command
) -> None:
    if command in TABLE[status]:
        assert next_status(command, status) == TABLE[status][command]
    elif (status, command) in AGAIN:
        assert next_status(command, status) is None
    else:
        with pytest.raises(FailedPrecondition) as refused:
            next_status(command, status)
        assert refused.value.reason == "ILLEGAL_TRANSITION"
        names = refused.value.metadata
        assert names["from"] == TaskRecordStatus.Name(status)
        assert names["to"] in NAMES
        assert refused.value.message == "a run cannot go from {from} to {to}".format_map(names)


def test_the_kinds_of_statuses_are_those_of_the_table() -> None:
    final = {status for status, commands in TABLE.items() if not commands}
    assert final == lifecycle.FINAL
    assert set(STATUSES) - final == lifecycle.OPEN
    assert {s for s, commands in TABLE.items() if Command.EXPIRE in commands} == lifecycle.HELD
    assert lifecycle.OPEN - {PENDING} == lifecycle.REPORTABLE


@pytest.mark.parametrize(
    ("executor_id", "lease_epoch", "outcome"),
    [
        ("", 0, "operator"),
        ("robot-1", 0, "operator"),
        ("", 3, "operator"),
        ("robot-1", 3, "holder"),
        ("robot-2", 0, "lost"),
        ("robot-2", 3, "lost"),
        ("", 2, "lost"),
        ("robot-1", 2, "lost"),
        ("robot-1", 4, "lost"),
    ],
)
def test_a_fence_is_the_present_one_or_none_at_all(
    executor_id: str, lease_epoch: int, outcome: str
) -> None:
    run = TaskRecord(executor_id="robot-1", lease_epoch=3)
    given = TaskRecord(executor_id=executor_id, lease_epoch=lease_epoch)
    if outcome == "lost":
        with pytest.raises(FailedPrecondition) as refused:
            check_fence(run, given)
        assert refused.value.reason == "LEASE_LOST"
        assert "another executor" in refused.value.message
        assert refused.value.metadata == {"executor_id": "robot-1", "lease_epoch": "3"}
    else:
        assert check_fence(run, given) == (outcome == "holder")
