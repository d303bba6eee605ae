"""The life of a definition against the contract's table, and of which ones runs are made."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus

from vwed_grpc.domain.definition_status import FIRST, require_enabled, require_step
from vwed_grpc.domain.errors import FailedPrecondition

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED
STEPS = {(DRAFT, ENABLED), (ENABLED, DISABLED), (DISABLED, ENABLED)}
STATUSES = [value for value in TaskDefStatus.values() if value]


@pytest.mark.parametrize("wanted", STATUSES, ids=TaskDefStatus.Name)
@pytest.mark.parametrize("status", STATUSES, ids=TaskDefStatus.Name)
def test_a_status_is_followed_by_what_the_contract_says(
    status: TaskDefStatus.ValueType, wanted: TaskDefStatus.ValueType
) -> None:
    if (status, wanted) in STEPS:
        require_step(status, wanted)
        return
    with pytest.raises(FailedPrecondition) as refused:
        require_step(status, wanted)
    names = {"from": TaskDefStatus.Name(status), "to": TaskDefStatus.Name(wanted)}
    assert (refused.value.reason, refused.value.metadata) == ("ILLEGAL_TRANSITION", names)
    told = "a definition cannot go from {from} to {to}".format_map(names)
    assert refused.value.message == told


def test_it_begins_as_a_draft_or_enabled() -> None:
    assert {DRAFT, ENABLED} == FIRST


@pytest.mark.parametrize(
    "kept_from",
    [{"status": DRAFT}, {"status": DISABLED}, {"delete_time": Timestamp(seconds=1)}],
)
def test_runs_are_of_enabled_definitions(kept_from: dict[str, Any]) -> None:
    require_enabled(TaskDef(id="d-1", status=ENABLED))
    with pytest.raises(FailedPrecondition) as refused:
        require_enabled(TaskDef(**{"id": "d-1", "status": ENABLED, **kept_from}))
    told = (refused.value.reason, refused.value.message, refused.value.metadata)
    assert told == ("TASK_DEF_NOT_ENABLED", "task_def 'd-1' is not ENABLED", {"id": "d-1"})
