"""What a watch of many runs is told of changes by a filter."""

from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching.chunk import Change, Selection, State


def test_of_a_run_whose_state_is_not_kept_too_much_is_told_but_of_no_run_not_asked_for() -> None:
    """Retention has taken the events that said what the run was before."""
    change = Change("a", Event(9, 9, Kind.DELETED, b"", None), State("a", None), None)

    def told(**filter_: list[str]) -> int:
        return len([*Selection(TaskRecordFilter(**filter_), blocks=True).of([change])])

    assert told() == told(robot_ids=["r"]) == told(ids=["a", "b"], robot_ids=["r"]) == 1
    assert told(ids=["b"]) == told(ids=["b"], robot_ids=["r"]) == 0
