"""What the demo draws on a terminal."""

from io import StringIO

from rich.console import Console
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.cli.progress_view import _RunTable


def drawn(table: _RunTable) -> list[str]:
    out = StringIO()
    Console(file=out, width=100).print(table.render())
    return [line for line in out.getvalue().splitlines() if line.strip("─ ")]


def event(run: TaskRecord, progress: float) -> TaskRecordEvent:
    return TaskRecordEvent(task_record_id=run.id, task_record=run, progress=progress)


def test_each_run_has_a_row_and_open_ones_come_first() -> None:
    table = _RunTable()
    assert drawn(table) == ["loading the definitions"]
    jam = TaskRecord(
        id="a",
        external_id="ASN-1",
        attempt=2,
        task_def_name="入库",
        status=TaskRecordStatus.TASK_RECORD_STATUS_FAILED,
        error_code="JAM",
    )
    table.show(event(jam, 0.5))
    open_ = TaskRecord(
        id="b", executor_id="AMB-01", status=TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
    )
    table.show(event(open_, 0))
    running = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
    block = BlockRecord(block_id="drive", status=running, message="at A-01")
    table.show(TaskRecordEvent(task_record_id="b", block_record=block))
    table.show(TaskRecordEvent(task_record_id="b", block_record=block, progress=0.25))
    title, *rows = drawn(table)
    assert title.split() == ["run", "definition", "robot", "status", "done", "last", "block"]
    assert [row.split() for row in rows] == [
        ["b", "AMB-01", "RUNNING", "25%", "drive", "RUNNING", "at", "A-01"],
        ["ASN-1", "#2", "入库", "FAILED", "50%", "JAM"],
    ]
