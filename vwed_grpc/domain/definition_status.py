"""The life of a definition: DRAFT -> ENABLED <-> DISABLED, as data."""

from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus

from vwed_grpc.domain.errors import FailedPrecondition

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED

LEADS_TO = {
    DRAFT: frozenset({ENABLED}),
    ENABLED: frozenset({DISABLED}),
    DISABLED: frozenset({ENABLED}),
}
FIRST = frozenset({DRAFT, ENABLED})
"""What a definition may be created with."""


def require_step(status: TaskDefStatus.ValueType, wanted: TaskDefStatus.ValueType) -> None:
    """Raises FailedPrecondition ILLEGAL_TRANSITION unless one leads to the other."""
    if wanted not in LEADS_TO[status]:
        names = {"from": TaskDefStatus.Name(status), "to": TaskDefStatus.Name(wanted)}
        raise FailedPrecondition(
            "ILLEGAL_TRANSITION",
            f"a definition cannot go from {names['from']} to {names['to']}",
            metadata=names,
        )


def require_enabled(task_def: TaskDef) -> None:
    """New runs, retries among them, are of ENABLED definitions alone.

    Raises FailedPrecondition TASK_DEF_NOT_ENABLED.
    """
    if task_def.HasField("delete_time") or task_def.status != ENABLED:
        raise FailedPrecondition(
            "TASK_DEF_NOT_ENABLED",
            f"task_def {task_def.id!r} is not ENABLED",
            metadata={"id": task_def.id},
        )
