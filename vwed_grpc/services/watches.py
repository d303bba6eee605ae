"""The RPCs of a run's history: page by page, and live."""

from collections.abc import AsyncIterator

from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    ListTaskRecordEventsRequest,
    ListTaskRecordEventsResponse,
    WatchTaskRecordRequest,
)

from vwed_grpc.progress.watch import Watch, resume
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import Servicer
from vwed_grpc.storage import events, rows, task_records

BOOKMARK_SECONDS = 15.0


class History(Servicer):
    async def ListTaskRecordEvents(
        self, request: ListTaskRecordEventsRequest, call: Call
    ) -> ListTaskRecordEventsResponse:
        run = request.task_record_id
        extent = await events.extent(self.backend.database, call.tenant, run)
        if extent is None:
            raise task_records.missing(run)
        after = resume(extent, request.after_seq)
        items, token, total = await self.page(
            request,
            events.listing(),
            events.where(call.tenant, run, after),
            fields=frozenset({"seq"}),
            default="seq",
            tie_breaker="seq",
        )
        return ListTaskRecordEventsResponse(events=items, next_page_token=token, total_size=total)

    async def WatchTaskRecord(
        self, request: WatchTaskRecordRequest, call: Call
    ) -> AsyncIterator[bytes]:
        b = self.backend
        watch = Watch(
            b.hub,
            b.database,
            call.tenant,
            request.task_record_id,
            full=request.view == View.VIEW_FULL,
            bookmark=rows.span(request.bookmark_interval).total_seconds() or BOOKMARK_SECONDS,
        )
        after_seq = request.after_seq if request.HasField("after_seq") else None
        async for message in watch.messages(after_seq):
            yield message
