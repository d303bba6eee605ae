"""The blocks of one run: which attempts there were, and what is reported of those that go on."""

from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus

from vwed.client.executor.block_entry import BlockEntry
from vwed.client.executor.clock import ServiceClock, timestamp
from vwed.client.executor.previous import Key
from vwed.client.executor.reports import Reports
from vwed.client.executor.statuses import (
    BLOCK_CANCELED,
    BLOCK_PAUSED,
    BLOCK_PENDING,
    BLOCK_RUNNING,
    BLOCK_SKIPPED,
    BLOCK_SUCCEEDED,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vwed.client.executor.block import BlockTry

DONE = frozenset({BLOCK_SUCCEEDED, BLOCK_SKIPPED})
_BEGUN = frozenset({BLOCK_RUNNING, BLOCK_PAUSED})


class BlockReporter:
    def __init__(self, reports: Reports, entry: BlockEntry, clock: ServiceClock) -> None:
        self.entry = entry
        self.robot_id = ""
        self.previous: Mapping[Key, BlockRecord] = {}
        """The latest attempts that there were before this process had the run."""
        self._reports = reports
        self._clock = clock
        self._attempts: dict[Key, int] = {}
        """The latest ones of this process."""

    def is_done(self, key: Key) -> bool:
        """Whether the block had succeeded, or was skipped, before this process had the run."""
        before = self.previous.get(key)
        return before is not None and before.status in DONE

    def begin(self, block: "BlockTry") -> None:
        """Numbers the attempt, unless it has a number, and reports that it goes on."""
        self._number(block)
        block.clock_offset = self._clock.clock_offset
        block.report = BlockRecord(
            block_id=block.id,
            block_type=block.type,
            name=block.name,
            iteration=block.iteration,
            attempt=block.attempt,
            status=BLOCK_RUNNING,
            input_data=block.input_data,
            robot_id=self.robot_id,
            start_time=timestamp(block.clock_offset),
            parent=block.parent_key,
        )
        block.report_number = self._reports.put(block.report)
        self.entry.begin(block)
        if block.parent is not None:
            block.parent.had_blocks = True

    def _number(self, block: "BlockTry") -> None:
        key = block.id, block.iteration
        latest = self._attempts.get(key)
        before = self.previous.get(key) if latest is None else None
        if not block.attempt:
            if before is not None and before.status == BLOCK_PENDING:
                block.attempt = before.attempt  # it was announced, and never begun
            else:
                block.attempt = (latest or (before.attempt if before else 0)) + 1
        self._attempts[key] = max(latest or 0, block.attempt)
        if before is not None and before.status in _BEGUN and before.attempt < block.attempt:
            # Whoever began it is gone, and nobody goes on with it.
            self._reports.put(
                BlockRecord(
                    block_id=block.id,
                    iteration=block.iteration,
                    attempt=before.attempt,
                    status=BLOCK_CANCELED,
                )
            )

    def progress(self, block: "BlockTry", fraction: float, message: str) -> None:
        """At most one report of a block waits for this: what was not sent yet takes it up."""
        if not self._reports.is_waiting(block.report_number):
            self._report_more(block)
        block.report.progress = fraction
        block.report.message = message or block.report.message

    def end(
        self,
        block: "BlockTry",
        status: BlockRecordStatus.ValueType,
        *,
        output: Struct | None,
        error_message: str,
    ) -> None:
        """One report tells all of a block that ended before its beginning was sent.

        Not if there were blocks within it, whose reports come between the two.
        """
        if block.had_blocks or not self._reports.is_waiting(block.report_number):
            self._report_more(block)
        report = block.report
        report.status = status
        report.error_message = error_message
        if status == BLOCK_SUCCEEDED:
            report.progress = 1.0  # whatever its code said last
        report.end_time.CopyFrom(timestamp(block.clock_offset))
        if output is not None:
            report.output_data.CopyFrom(output)
        self.entry.end(block)

    def _report_more(self, block: "BlockTry") -> None:
        block.report = BlockRecord(
            block_id=block.id, iteration=block.iteration, attempt=block.attempt
        )
        block.report_number = self._reports.put(block.report)
