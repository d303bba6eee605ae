"""The RPCs of a run's history: page by page, and live."""

from collections.abc import AsyncIterator

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
from vwed_grpc.domain.retention import of_tenant
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import Servicer, list_response
from vwed_grpc.storage import events, rows, task_records
from vwed_grpc.watching.feed import Feed, Request
from vwed_grpc.watching.watch import Watch, resume

BOOKMARK_SECONDS = 15.0


class History(Servicer):
    async def ListTaskRecordEvents(self, request: ListTaskRecordEventsRequest, call: Call) -> bytes:
        run = request.task_record_id
        extent = await events.extent(self.backend.database.live, call.tenant, run)
        if extent is None:
            raise task_records.missing(run)
        after = resume(extent, request.after_seq)
        items, token, total = await self.page(
            request,
            call,
            events.LISTING,
            events.where(call.tenant, run, after),
            fields=frozenset({"seq"}),
            default="seq",
            tie_breaker="seq",
        )
        answer = ListTaskRecordEventsResponse(next_page_token=token, total_size=total)
        return await list_response(answer, "events", items)

    async def WatchTaskRecords(
        self, request: WatchTaskRecordsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        if request.filter.statuses:
            raise InvalidArgument.of(
                "filter.statuses", "must be empty: a run is watched through all of them"
            )
        b = self.backend
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
            incarnation=b.database.incarnation.value,
            kept=of_tenant(b.retention, call.tenant).events,
        )
        with b.logs.of(call.tenant) as log:
            feed = Feed(b.database.bulk, log, what)
            async for message in b.database.incarnation.still(feed.messages(request.resume_token)):
                yield message

    async def WatchTaskRecord(
        self, request: WatchTaskRecordRequest, call: Call
    ) -> AsyncIterator[bytes]:
        b = self.backend
        watch = Watch(
            b.hub,
            b.database.bulk,
            call.tenant,
            request.task_record_id,
            full=request.view == View.VIEW_FULL,
            bookmark=_bookmark(request.bookmark_interval),
        )
        after_seq = request.after_seq if request.HasField("after_seq") else None
        async for message in b.database.incarnation.still(watch.messages(after_seq)):
            yield message


def _bookmark(interval: Duration) -> float:
    return rows.span(interval).total_seconds() or BOOKMARK_SECONDS
