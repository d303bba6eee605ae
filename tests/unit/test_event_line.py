import click
import pytest
from google.protobuf.json_format import ParseDict
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.cli.event_line import BlockDepths, event_line


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {
                "progress": 0,
                "taskRecord": {
                    "status": "TASK_RECORD_STATUS_FAILED",
                    "taskDefName": "入库上架",
                    "executorId": "AMB-01",
                    "errorCode": "PALLET_ASKEW",
                    "errorMessage": "11.4°",
                },
            },
            "    7   0% FAILED      入库上架 AMB-01 PALLET_ASKEW: 11.4°",
        ),
        (
            {"taskRecord": {"status": "TASK_RECORD_STATUS_FAILED", "errorMessage": "it fell"}},
            "    7      FAILED      it fell",
        ),
        (
            {"taskRecord": {"status": "TASK_RECORD_STATUS_CANCELED", "errorCode": "EXECUTOR_LOST"}},
            "    7      CANCELED    EXECUTOR_LOST",
        ),
        (
            {
                "blockRecord": {
                    "status": "BLOCK_RECORD_STATUS_RUNNING",
                    "blockId": "pick_line",
                    "name": "拣货",
                    "iteration": "1.2",
                    "attempt": 2,
                    "progress": 0.5,
                    "message": "电量 80 %",
                }
            },
            "    7      RUNNING       pick_line[1.2] #2 拣货 50% 电量 80 %",
        ),
        (
            {"signal": {"name": "skip_block"}, "reason": "why"},
            "    7      SIGNAL      skip_block why",
        ),
        ({"deleted": {}}, "    7      DELETED     "),
    ],
)
def test_event_is_one_line(event: dict[str, object], line: str) -> None:
    message = ParseDict(
        {"seq": 7, "eventTime": "2024-01-17T06:03:05.125Z"} | event, TaskRecordEvent()
    )
    said = click.unstyle(event_line(message, BlockDepths()))
    assert said[13:] == line
    assert said[5:12] == ":05.125"  # hour and minute are the reader's own


def test_depth_is_the_definition_s_else_one_below_the_parent() -> None:
    depths = BlockDepths([{"id": "a", "children": {"default": [{"id": "b"}]}}])
    assert depths.of(BlockRecord(id="1", block_id="a")) == 0
    assert depths.of(BlockRecord(id="2", block_id="b")) == 1
    assert depths.of(BlockRecord(id="3", block_id="x", parent_block_record_id="2")) == 2
    assert depths.of(BlockRecord(id="4", block_id="y", parent_block_record_id="?")) == 0
