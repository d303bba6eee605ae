"""A run's counts and progress, as its events tell them, against its blocks, counted anew."""

from collections import Counter
from collections.abc import Iterator

from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.domain.blocks import BLOCK_COUNTS
from vwed_grpc.domain.blocks import FINAL as DONE
from vwed_grpc.domain.lifecycle import SUCCEEDED


class Tally:
    """Of one run, whose events are taken in order."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._latest: dict[tuple[str, str], tuple[int, int]] = {}
        """(block_id, iteration) -> its latest attempt, and the status of that."""
        self._configured = 0
        self._status = 0

    def take(self, event: TaskRecordEvent) -> Iterator[str]:
        """What is wrong with the counts that the event has, if it has any."""
        if event.HasField("block_record"):
            block = event.block_record
            name = block.block_id, block.iteration
            if block.attempt >= self._latest.get(name, (0, 0))[0]:
                self._latest[name] = block.attempt, block.status
        if event.HasField("task_record"):
            self._status = event.task_record.status
        if not event.HasField("block_counts"):
            return
        counts = event.block_counts
        if not self._latest:
            self._configured = counts.total
        found = Counter(status for _, status in self._latest.values())
        mine = [found[status] for status in range(1, len(BLOCK_COUNTS) + 1)]
        mine.append(max(self._configured, len(self._latest)))
        told = [getattr(counts, name) for name in (*BLOCK_COUNTS, "total")]
        if mine != told:
            yield f"{self._run} at {event.seq}: {told} told of {mine}"
        done = sum(found[status] for status in DONE)
        progress = 1.0 if self._status == SUCCEEDED else done / mine[-1] if mine[-1] else 0.0
        if abs(progress - event.progress) > 1e-9:
            yield f"{self._run} at {event.seq}: progress {event.progress}, not {progress}"
