"""How runs went and how long they took, as JSON for charts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from vwed.v1.common_pb2 import TimeRange, View
from vwed.v1.record_service_pb2 import (
    DurationFigures,
    SummarizeBlockRecordsRequest,
    SummarizeTaskRecordsRequest,
    TaskRecordSummary,
)
from vwed.v1.task_def_service_pb2 import BatchGetTaskDefsRequest

from vwed.client import Client
from vwed_grpc.console.errors import BadRequest
from vwed_grpc.console.filters import number, run_filter
from vwed_grpc.views.words import status_name

_LONGEST = 92
_HOURLY = 2
"""Up to so many days a figure is told for each hour."""
_MOST_NAMES = 1_000
Group = SummarizeTaskRecordsRequest.GroupBy


async def figures(client: Client, request: Request) -> dict[str, Any]:
    """Of the runs that ended in the last `days`: by time, by definition, and of blocks by type."""
    query = request.query_params
    days = number(query, "days", 7)
    if not 1 <= days <= _LONGEST:
        raise BadRequest(f"days: 1 to {_LONGEST}")
    end = datetime.now(UTC)
    ended = TimeRange()
    getattr(ended, "from").FromDatetime(end - timedelta(days=days))
    ended.to.FromDatetime(end)
    wanted = run_filter(query)
    by_time = Group.GROUP_BY_HOUR if days <= _HOURLY else Group.GROUP_BY_DAY

    async def summaries(*group_by: Group.ValueType) -> list[TaskRecordSummary]:
        asked = SummarizeTaskRecordsRequest(
            filter=wanted,
            end_time=ended,
            group_by=group_by,
            time_zone=query.get("time_zone", ""),
        )
        answer = await client.records.SummarizeTaskRecords(asked)
        return list(answer.task_record_summaries)

    counts: dict[str, dict[str, int]] = {}
    for one in await summaries(by_time, Group.GROUP_BY_STATUS):
        status = status_name(one.status)
        counts.setdefault(one.period_start.ToJsonString(), {})[status] = one.count
    by_definition = await summaries(Group.GROUP_BY_TASK_DEF)
    names = await _names(client, [one.task_def_id for one in by_definition])
    blocks = await client.records.SummarizeBlockRecords(
        SummarizeBlockRecordsRequest(filter=wanted, end_time=ended)
    )
    return {
        "step": "hour" if by_time == Group.GROUP_BY_HOUR else "day",
        "periods": [
            {"start": start, "counts": counts.get(start, {}), **_figures(one)}
            for one in await summaries(by_time)
            if (start := one.period_start.ToJsonString())
        ],
        "definitions": [
            {
                "task_def_id": one.task_def_id,
                "name": names.get(one.task_def_id, one.task_def_id),
                **_figures(one),
            }
            for one in by_definition
        ],
        "all": [_figures(one) for one in await summaries()],
        "blocks": [
            {
                "block_type": one.block_type,
                "count": one.count,
                "failure_rate": one.failure_rate,
                "duration": _seconds(one.duration),
            }
            for one in blocks.block_record_summaries
        ],
    }


async def _names(client: Client, ids: Sequence[str]) -> dict[str, str]:
    """Of definitions, also of deleted ones."""
    if not ids:
        return {}
    answer = await client.definitions.BatchGetTaskDefs(
        BatchGetTaskDefsRequest(ids=ids[:_MOST_NAMES], view=View.VIEW_BASIC)
    )
    return {one.id: one.name for one in answer.task_defs}


def _figures(one: TaskRecordSummary) -> dict[str, Any]:
    return {
        "count": one.count,
        "success_rate": one.success_rate if one.HasField("success_rate") else None,
        "queue_time": _seconds(one.queue_time) if one.HasField("queue_time") else None,
        "duration": _seconds(one.duration) if one.HasField("duration") else None,
    }


def _seconds(of: DurationFigures) -> dict[str, float]:
    return {name: _duration(getattr(of, name)) for name in ("p50", "p95", "max")}


def _duration(value: Any) -> float:
    seconds: float = value.ToNanoseconds() / 1e9
    return seconds
