"""What earlier executors of a run, or the run that it retries, left of its blocks."""

from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordFilter
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import ListBlockRecordsRequest, ListBlockRecordsResponse
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord

from vwed.client.connection import Client
from vwed.client.executor.persistent_calls import PersistentCalls
from vwed.client.paging import pages

Key = tuple[str, str]
"""(block_id, iteration)."""


async def previous_blocks(
    client: Client, calls: PersistentCalls, record: TaskRecord
) -> dict[Key, BlockRecord]:
    """The latest attempt of each block, in full. Raises CallError."""
    if not _reported(record.block_counts):
        return {}

    async def asked(request: ListBlockRecordsRequest) -> ListBlockRecordsResponse:
        return (await calls.ask(client.records.ListBlockRecords, request)).response

    request = ListBlockRecordsRequest(
        task_record_id=record.id,
        filter=BlockRecordFilter(latest_attempt_only=True),
        view=View.VIEW_FULL,
    )
    return {(block.block_id, block.iteration): block async for block in pages(asked, request)}


def _reported(counts: BlockCounts) -> bool:
    """Whether there is any; `total` counts those of the definition too."""
    return any(field.name != "total" for field, _ in counts.ListFields())
