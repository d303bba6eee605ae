"""The RPCs that sum up runs and blocks, and the one that prunes them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.record_service_pb2 import (
    BlockRecordSummary,
    DurationFigures,
    PruneTaskRecordsRequest,
    PruneTaskRecordsResponse,
    SummarizeBlockRecordsRequest,
    SummarizeBlockRecordsResponse,
    SummarizeTaskRecordsRequest,
    SummarizeTaskRecordsResponse,
    TaskRecordSummary,
)

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.lifecycle import FINAL
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.listing import list_response
from vwed_grpc.storage import rows, run_lists, summaries, task_records
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.pruning import Old
from vwed_grpc.writes.commit import Committer
from vwed_grpc.writes.retention import count, prune_runs

LONGEST = timedelta(days=92)
PRUNED_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    figures: Pool
    committer: Committer

    async def SummarizeTaskRecords(self, request: SummarizeTaskRecordsRequest, call: Call) -> bytes:
        where = [*run_lists.where(call.tenant, request.filter), *_ended_in(request.end_time)]
        zone = request.time_zone or "UTC"
        if request.time_zone and not await summaries.is_time_zone(self.figures, zone):
            raise InvalidArgument.of("time_zone", "is not the IANA name of a time zone")
        found = await summaries.of_runs(
            self.figures,
            where,
            request.group_by,
            since=rows.moment(getattr(request.end_time, "from")),
            until=rows.moment(request.end_time.to),
            time_zone=zone,
        )
        items = await in_turns(_run_summary, found)
        return await list_response(SummarizeTaskRecordsResponse(), "task_record_summaries", items)

    async def SummarizeBlockRecords(
        self, request: SummarizeBlockRecordsRequest, call: Call
    ) -> bytes:
        where = [*run_lists.where(call.tenant, request.filter), *_ended_in(request.end_time)]
        found = await summaries.of_blocks(self.figures, where)
        items = await in_turns(_block_summary, found)
        return await list_response(SummarizeBlockRecordsResponse(), "block_record_summaries", items)

    async def PruneTaskRecords(
        self, request: PruneTaskRecordsRequest, call: Call
    ) -> PruneTaskRecordsResponse:
        for n, status in enumerate(request.statuses):
            if status not in FINAL:
                raise InvalidArgument.of(f"statuses[{n}]", "must be a final status")
        old = Old(call.tenant, rows.moment(request.ended_before), set(request.statuses) or FINAL)
        there = await count(self.figures, old, PRUNED_AT_ONCE + 1)
        pruned = min(there, PRUNED_AT_ONCE)
        if not request.dry_run:
            pruned = await prune_runs(
                self.committer,
                self.figures,
                old,
                limit=pruned,
                actor=call.actor,
                reason=request.reason,
            )
        return PruneTaskRecordsResponse(pruned=pruned, more=there > pruned)


def _ended_in(span: TimeRange) -> list[sa.ColumnElement[bool]]:
    """Both ends are required, and are at most 92 days apart."""
    for end in ("from", "to"):
        if not span.HasField(end):
            raise InvalidArgument.of(f"end_time.{end}", "is required")
    start, end_ = rows.moment(getattr(span, "from")), rows.moment(span.to)
    if not timedelta(0) < end_ - start <= LONGEST:
        raise InvalidArgument.of("end_time", "must be a range of at most 92 days")
    return run_lists.within(task_records.c.end_time, span)


def _block_summary(row: sa.Row[Any]) -> BlockRecordSummary:
    return BlockRecordSummary(
        block_type=row.block_type,
        count=row.total,
        failure_rate=row.failed / row.total,
        duration=_durations(row.duration, row.duration_max),
    )


def _run_summary(row: sa.Row[Any]) -> TaskRecordSummary:
    """Only the keys that were asked for are in the row."""
    decided = row.succeeded + row.failed
    summary = TaskRecordSummary(
        count=row.total,
        success_rate=row.succeeded / decided if decided else None,
        queue_time=_durations(row.queue, row.queue_max),
        duration=_durations(row.duration, row.duration_max),
        task_def_id=getattr(row, "task_def_id", ""),
        robot_id=getattr(row, "robot_id", ""),
    )
    summary.status = getattr(row, "status", summary.status)
    rows.put_time(summary.period_start, getattr(row, "period_start", None))
    return summary


def _durations(shares: list[float | None] | None, longest: float | None) -> DurationFigures | None:
    if shares is None or longest is None:
        return None
    figures = DurationFigures()
    for field, seconds in (
        (figures.p50, shares[0]),
        (figures.p95, shares[1]),
        (figures.max, longest),
    ):
        field.FromTimedelta(timedelta(seconds=seconds or 0.0))
    return figures
