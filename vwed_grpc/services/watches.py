"""The RPCs of a run's history: page by page, and live."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    ListTaskRecordEventsRequest,
    ListTaskRecordEventsResponse,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
)

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.paging import fingerprint_of
from vwed_grpc.domain.retention import Retention, of_tenant
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.listing import list_page
from vwed_grpc.storage import events, rows, task_records
from vwed_grpc.storage.incarnation import CurrentIncarnation
from vwed_grpc.storage.pool import Pool, ReadingPool
from vwed_grpc.watching.feed import Feed, Request
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.watch import Watch, resume

BOOKMARK_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    live: ReadingPool
    bulk: ReadingPool
    figures: Pool
    logs: TailedLogs
    incarnation: CurrentIncarnation
    retention: Mapping[str, Retention]

    async def ListTaskRecordEvents(self, request: ListTaskRecordEventsRequest, call: Call) -> bytes:
        run = request.task_record_id
        extent = await events.extent(self.live, call.tenant, run)
        if extent is None:
            raise task_records.missing(run)
        after = resume(extent, request.after_seq)
        page = await list_page(
            call,
            request,
            bulk=self.bulk,
            figures=self.figures,
            listing=events.LISTING,
            where=events.where(call.tenant, run, after),
            default_order="seq",
            tie_breaker="seq",
        )
        return await page.response(ListTaskRecordEventsResponse, "events")

    async def WatchTaskRecords(
        self, request: WatchTaskRecordsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        if request.filter.statuses:
            raise InvalidArgument.of(
                "filter.statuses", "must be empty: a run is watched through all of them"
            )
        bound = WatchTaskRecordsRequest(
            filter=request.filter, include_blocks=request.include_blocks
        )
        what = Request(
            call.tenant,
            request.filter,
            blocks=request.include_blocks,
            full=request.view == View.VIEW_FULL,
            bookmark=_bookmark(request.bookmark_interval),
            fingerprint=fingerprint_of(call.tenant, "WatchTaskRecords", bound),
            incarnation=self.incarnation.value,
            kept=of_tenant(self.retention, call.tenant).events,
        )
        with self.logs.of(call.tenant) as log:
            feed = Feed(self.bulk, log, what)
            call.lags = lambda: feed.lags
            async for message in self.incarnation.still(feed.messages(request.resume_token)):
                yield message

    async def WatchTaskRecord(
        self, request: WatchTaskRecordRequest, call: Call
    ) -> AsyncIterator[bytes]:
        after_seq = request.after_seq if request.HasField("after_seq") else None
        with self.logs.of(call.tenant) as log:
            watch = Watch(
                log,
                self.bulk,
                request.task_record_id,
                full=request.view == View.VIEW_FULL,
                bookmark=_bookmark(request.bookmark_interval),
            )
            call.lags = lambda: watch.lags
            async for message in self.incarnation.still(watch.messages(after_seq)):
                yield message


def _bookmark(interval: Duration) -> float:
    return rows.span(interval).total_seconds() or BOOKMARK_SECONDS
