"""A run's rows as a page gets them."""

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.console.table import MOST_ROWS, table
from vwed_grpc.views.run_view import RunView

LOOP = [{"id": "lines", "type": "loop", "children": {"body": [{"id": "pick", "type": "pick"}]}}]
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
BEGIN = 1_700_000_000


def _view(*picks: BlockRecord) -> RunView:
    run = TaskRecord(id="r", start_time=Timestamp(seconds=BEGIN))
    view = RunView(run, LOOP)
    for pick in picks:
        view.put(pick)
    return view


def _pick(number: int, *, seconds: int = 1, every: int = 1) -> BlockRecord:
    start = BEGIN + number * every
    return BlockRecord(
        block_id="pick",
        iteration=str(number),
        attempt=1,
        id=f"id-{number}",
        status=SUCCEEDED,
        start_time=Timestamp(seconds=start),
        end_time=Timestamp(seconds=start + seconds),
    )


def test_few_blocks_have_a_row_and_a_bar_each() -> None:
    rows = table(_view(*(_pick(n) for n in range(3))))["rows"]
    assert [(row["title"], row["depth"]) for row in rows] == [
        ("lines", 0),
        ("pick[0]", 1),
        ("pick[1]", 1),
        ("pick[2]", 1),
    ]
    assert rows[1]["bars"] == [[0.0, 1.0, "SUCCEEDED", "pick[0]", ""]]


def test_of_many_iterations_bars_that_touch_are_one() -> None:
    drawn = table(_view(*(_pick(n) for n in range(MOST_ROWS + 1))))
    (row,) = (row for row in drawn["rows"] if row["depth"] == 1)
    title = f"pick *{MOST_ROWS + 1} +{MOST_ROWS + 1}"
    assert row["bars"] == [[0.0, MOST_ROWS + 1.0, "SUCCEEDED", title, ""]]


def test_and_those_apart_stay_so() -> None:
    apart = [_pick(n, every=100) for n in range(MOST_ROWS + 1)]
    late = [_pick(10_000_000 + n) for n in range(MOST_ROWS)]
    (row,) = (row for row in table(_view(*apart, *late))["rows"] if row["depth"] == 1)
    begins = [bar[0] for bar in row["bars"]]
    assert begins == [0.0, 10_000_000.0]
