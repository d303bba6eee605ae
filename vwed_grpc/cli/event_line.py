"""An event of a run as one line of text."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import click
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.views.words import block_status, block_title, percent, run_error, run_status

STATUS_COLORS = {
    "PENDING": "bright_black",
    "RUNNING": "cyan",
    "PAUSING": "yellow",
    "PAUSED": "yellow",
    "CANCELING": "yellow",
    "INTERRUPTED": "magenta",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "SKIPPED": "bright_black",
    "CANCELED": "yellow",
}


class BlockDepths:
    """How deep in the tree a block is: by the definition, else by where its parent was seen."""

    def __init__(self, blocks: Sequence[Mapping[str, Any]] = ()) -> None:
        self._by_block_id: dict[str, int] = {}
        self._by_record_id: dict[str, int] = {}
        self._enter(blocks, 0)

    def of(self, block: BlockRecord) -> int:
        """0 for a block at the top, or one whose parent is unknown."""
        depth = self._by_block_id.get(block.block_id)
        if depth is None:
            depth = self._by_record_id.get(block.parent_block_record_id, -1) + 1
        self._by_record_id[block.id] = depth
        return depth

    def _enter(self, blocks: Sequence[Mapping[str, Any]], depth: int) -> None:
        for block in blocks:
            self._by_block_id[block["id"]] = depth
            for branch in block.get("children", {}).values():
                self._enter(branch, depth + 1)


def event_line(event: TaskRecordEvent, depths: BlockDepths) -> str:
    """Time, seq, the run's progress, then what changed; blocks are indented as in their tree."""
    time = event.event_time.ToDatetime(tzinfo=UTC).astimezone()
    progress = percent(event.progress) if event.HasField("progress") else ""
    return f"{time:%H:%M:%S.%f}"[:-3] + f" {event.seq:5} {progress:>4} {_change(event, depths)}"


def _change(event: TaskRecordEvent, depths: BlockDepths) -> str:
    match event.WhichOneof("change"):
        case "task_record":
            run = event.task_record
            return _line(
                run_status(run), run.task_def_name, run.external_id, run.executor_id, run_error(run)
            )
        case "block_record":
            block = event.block_record
            indent = "  " * (depths.of(block) + 1)
            progress = percent(block.progress) if block.progress else ""
            return _line(
                block_status(block),
                indent + block_title(block),
                progress,
                block.message,
                block.error_message,
            )
        case "signal":
            return _line("SIGNAL", event.signal.name, event.signal.block_record_id, event.reason)
        case _:
            return _line("DELETED", event.reason)


def _line(status: str, *words: str) -> str:
    return click.style(f"{status:12}", fg=STATUS_COLORS.get(status)) + " ".join(filter(None, words))
