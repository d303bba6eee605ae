"""The RPCs of blocks: reports, which share commits, and reading them back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    GetBlockRecordRequest,
    ListBlockRecordsRequest,
    ListBlockRecordsResponse,
    ReportBlockRequest,
    ReportBlockResponse,
    ReportBlocksRequest,
    ReportBlocksResponse,
    StreamBlockReportsRequest,
    StreamBlockReportsResponse,
)

from vwed_grpc.domain.blocks import ends_before_start
from vwed_grpc.domain.errors import InvalidArgument, Violation, VwedError
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.errors import to_status
from vwed_grpc.rpc.validation import Checked
from vwed_grpc.services.listing import list_page
from vwed_grpc.storage import block_records, task_records
from vwed_grpc.storage.pool import Pool, ReadingPool
from vwed_grpc.writes.reports import Answer, Report
from vwed_grpc.writes.writer import Writer

IN_FLIGHT = 64
"""Batches of one stream that may wait; a caller who sends more is held back by flow control."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRecords:
    live: ReadingPool
    bulk: ReadingPool
    figures: Pool
    writer: Writer

    async def ReportBlock(self, request: ReportBlockRequest, call: Call) -> ReportBlockResponse:
        answer = await self._report(request, [request.block_record], call, single=True)
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

    async def StreamBlockReports(
        self, requests: AsyncIterator[Checked[StreamBlockReportsRequest]], call: Call
    ) -> AsyncIterator[StreamBlockReportsResponse]:
        """Answers in sending order; up to `IN_FLIGHT` batches wait for their commit at once.

        While one does, the stream has a place; an idle stream and a slow reader have none.
        """
        under_way = 0
        sent: asyncio.Queue[tuple[str, asyncio.Future[Answer]] | None] = asyncio.Queue(IN_FLIGHT)

        def answered(_: object) -> None:
            nonlocal under_way
            under_way -= 1
            if not under_way:
                call.standing.leave()

        async def take() -> None:
            nonlocal under_way
            try:
                async for checked in requests:
                    under_way += 1
                    answer = await self._submit(checked, call)
                    answer.add_done_callback(answered)
                    await sent.put((checked.request.batch_id, answer))
            finally:
                await sent.put(None)

        taking = asyncio.create_task(take())
        try:
            while (batch := await sent.get()) is not None:
                batch_id, future = batch
                yield await _batch_answer(batch_id, future, call)
            await taking
        finally:
            taking.cancel()
            while not sent.empty():
                # Whoever left will send again what was not answered; it must not come in later.
                if (batch := sent.get_nowait()) is not None:
                    batch[1].cancel()

    async def _submit(
        self, checked: Checked[StreamBlockReportsRequest], call: Call
    ) -> asyncio.Future[Answer]:
        """The answer to come; what is refused at once is refused in it."""
        request = checked.request
        try:
            if checked.problem is not None:
                raise checked.problem
            await call.standing.enter()
            return await self.writer.submit(
                call.tenant,
                _report_of(request, request.block_records, call, streamed=True),
                call.remaining,
            )
        except VwedError as refusal:
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(refusal)
            return refused

    async def _report(
        self,
        request: ReportBlockRequest | ReportBlocksRequest,
        blocks: Sequence[BlockRecord],
        call: Call,
        *,
        single: bool = False,
    ) -> Answer:
        report = _report_of(request, blocks, call, single=single)
        return await self.writer.report(call.tenant, report, call.remaining)

    async def GetBlockRecord(self, request: GetBlockRecordRequest, call: Call) -> BlockRecord:
        record = await block_records.get(
            self.live, call.tenant, run=request.task_record_id, id_=request.id
        )
        if record is None:
            raise block_records.missing(request.id)
        return record

    async def ListBlockRecords(self, request: ListBlockRecordsRequest, call: Call) -> bytes:
        page = await list_page(
            call,
            request,
            bulk=self.bulk,
            figures=self.figures,
            listing=block_records.LISTING,
            where=block_records.where(call.tenant, request.task_record_id, request.filter),
            default_order="first_seq",
            tie_breaker="first_seq",
        )
        if not page.items and not request.page_token:
            await task_records.require(self.live, call.tenant, request.task_record_id)
        return await page.response(ListBlockRecordsResponse, "block_records")


def _report_of(
    request: ReportBlockRequest | ReportBlocksRequest | StreamBlockReportsRequest,
    blocks: Sequence[BlockRecord],
    call: Call,
    *,
    single: bool = False,
    streamed: bool = False,
) -> Report:
    """Raises InvalidArgument for blocks that are said to end before their start."""
    report = Report(
        request.task_record_id,
        blocks,
        executor_id=request.executor_id,
        lease_epoch=request.lease_epoch,
        actor=call.actor,
        single=single,
        streamed=streamed,
    )
    if bad := [n for n, block in enumerate(blocks) if ends_before_start(block)]:
        raise InvalidArgument(
            *(Violation(f"{report.path(n)}.end_time", "must not be before start_time") for n in bad)
        )
    return report


async def _batch_answer(
    batch_id: str, future: asyncio.Future[Answer], call: Call
) -> StreamBlockReportsResponse:
    try:
        answer = await future
    except Exception as exc:  # noqa: BLE001 - a batch that fails, however, does not end the stream
        return StreamBlockReportsResponse(batch_id=batch_id, error=to_status(exc, call.request_id))
    return StreamBlockReportsResponse(
        batch_id=batch_id, seqs=answer.seqs, task_record_status=answer.status
    )
