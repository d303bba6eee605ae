"""Runs, and what belongs to one of them, as JSON."""

from collections import defaultdict
from typing import Any

from starlette.requests import Request
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed.client import Client, OutOfRange
from vwed_grpc.console.errors import oldest_kept
from vwed_grpc.console.events import event_json
from vwed_grpc.console.filters import number, run_filter
from vwed_grpc.console.messages import plain, plain_all
from vwed_grpc.domain.lifecycle import OPEN, PENDING
from vwed_grpc.views.reading import PAGE, read_run
from vwed_grpc.views.words import entry_text, moment, run_status

RUNS_PAGE = 50
ENTRIES = 200
EVENTS_PAGE = 200


async def list_runs(client: Client, request: Request) -> dict[str, Any]:
    """A page of them, the newest first."""
    answer = await client.records.ListTaskRecords(
        ListTaskRecordsRequest(
            filter=run_filter(request.query_params),
            page_size=RUNS_PAGE,
            page_token=request.query_params.get("page_token", ""),
        )
    )
    return {
        "task_records": plain_all(answer.task_records),
        "next_page_token": answer.next_page_token,
    }


async def get_run(client: Client, request: Request) -> dict[str, Any]:
    """With its input and result."""
    return plain(await read_run(client, request.path_params["id"]))


async def list_events(client: Client, request: Request) -> dict[str, Any]:
    """A page of a run's history that ends before the event `before`, the oldest first."""
    before = number(request.query_params, "before", 1)
    asked = ListTaskRecordEventsRequest(
        task_record_id=request.path_params["id"],
        after_seq=max(before - 1 - EVENTS_PAGE, 0),
        page_size=EVENTS_PAGE,
    )
    try:
        answer = await client.records.ListTaskRecordEvents(asked)
    except OutOfRange as exc:  # the first of them were not kept
        asked.after_seq = min(oldest_kept(exc) - 1, before)
        answer = await client.records.ListTaskRecordEvents(asked)
    return {"events": [event_json(event) for event in answer.events if event.seq < before]}


async def list_cache(client: Client, request: Request) -> dict[str, Any]:
    """The first entries of a run's data cache."""
    answer = await client.cache.ListDataCache(
        ListDataCacheRequest(
            task_record_id=request.path_params["id"], page_size=ENTRIES, view=View.VIEW_FULL
        )
    )
    return {
        "more": bool(answer.next_page_token),
        "data_caches": [plain(entry) | {"text": entry_text(entry)} for entry in answer.data_caches],
    }


async def list_executors(client: Client, _request: Request) -> dict[str, Any]:
    """Who holds open runs: how many, and when any of these was heard of last.

    The service keeps no time of heartbeats as such; they move `update_time`, as reports do.
    """
    held = TaskRecordFilter(statuses=OPEN - {PENDING})
    answer = await client.records.ListTaskRecords(
        ListTaskRecordsRequest(filter=held, page_size=PAGE)
    )
    by_executor: dict[str, list[TaskRecord]] = defaultdict(list)
    for run in answer.task_records:
        by_executor[run.executor_id].append(run)
    return {
        "more": bool(answer.next_page_token),
        "executors": [_executor(name, runs) for name, runs in sorted(by_executor.items()) if name],
    }


def _executor(name: str, runs: list[TaskRecord]) -> dict[str, Any]:
    latest = max(runs, key=lambda run: run.update_time.ToNanoseconds())
    leases = [end for run in runs if (end := moment(run.lease_expire_time))]
    return {
        "executor_id": name,
        "robots": sorted({run.robot_id for run in runs if run.robot_id}),
        "runs": [{"id": run.id, "status": run_status(run)} for run in runs],
        "heard": latest.update_time.ToJsonString(),
        "lease_end": min(leases).isoformat() if leases else None,
    }
