"""The RPCs of blocks: reports, which share commits, and reading them back."""

from collections.abc import Sequence

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    GetBlockRecordRequest,
    ListBlockRecordsRequest,
    ListBlockRecordsResponse,
    ReportBlockRequest,
    ReportBlockResponse,
    ReportBlocksRequest,
    ReportBlocksResponse,
)

from vwed_grpc.progress.flush import Answer, Report
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import Servicer
from vwed_grpc.storage import block_records, task_records


class BlockRecords(Servicer):
    async def ReportBlock(self, request: ReportBlockRequest, call: Call) -> ReportBlockResponse:
        answer = await self._report(request, [request.block_record], call, full=True)
        return ReportBlockResponse(
            block_record=answer.blocks[0],
            seq=answer.seqs[0],
            task_record_status=answer.status,
        )

    async def ReportBlocks(self, request: ReportBlocksRequest, call: Call) -> ReportBlocksResponse:
        answer = await self._report(request, request.block_records, call)
        return ReportBlocksResponse(
            block_records=answer.blocks, seqs=answer.seqs, task_record_status=answer.status
        )

    async def _report(
        self,
        request: ReportBlockRequest | ReportBlocksRequest,
        blocks: Sequence[BlockRecord],
        call: Call,
        *,
        full: bool = False,
    ) -> Answer:
        report = Report(
            request.task_record_id,
            blocks,
            request.executor_id,
            request.lease_epoch,
            call.actor,
            full=full,
        )
        return await self.backend.writer.report(call.tenant, report, call.remaining)

    async def GetBlockRecord(self, request: GetBlockRecordRequest, call: Call) -> BlockRecord:
        record = await block_records.get(
            self.backend.database, call.tenant, request.task_record_id, request.id
        )
        if record is None:
            raise block_records.missing(request.id)
        return record

    async def ListBlockRecords(
        self, request: ListBlockRecordsRequest, call: Call
    ) -> ListBlockRecordsResponse:
        items, token, total = await self.page(
            request,
            block_records.listing(),
            block_records.where(call.tenant, request.task_record_id, request.filter),
            fields=frozenset({"first_seq"}),
            default="first_seq",
            tie_breaker="first_seq",
        )
        if not items and not request.page_token:
            await self._must_exist(call, request.task_record_id)
        return ListBlockRecordsResponse(
            block_records=items, next_page_token=token, total_size=total
        )

    async def _must_exist(self, call: Call, run: str) -> None:
        """An empty list of a missing run would look like a run without blocks."""
        if await task_records.get(self.backend.database, call.tenant, run) is None:
            raise task_records.missing(run)
