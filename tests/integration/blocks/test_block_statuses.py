"""The contract's table of statuses of a block, through reports: every status after every other."""

import asyncio

import pytest
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecordStatus

from tests.support.steps import block, blocks_of, refused, report, running
from tests.support.three_ways import WAYS, Way
from vwed.client import Client
from vwed_grpc.domain.blocks import PAUSED, PENDING, RUNNING, SUCCEEDED

STATUSES = ["PENDING", "RUNNING", "PAUSED", "SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"]
FINAL = STATUSES[3:]
TABLE = {
    "PENDING": STATUSES,
    "RUNNING": ["RUNNING", "PAUSED", *FINAL],
    "PAUSED": ["PAUSED", "RUNNING", *FINAL],
    **{status: [status] for status in FINAL},
}
"""What may follow; the same is no change as long as it brings nothing new."""


def status_of(name: str) -> BlockRecordStatus.ValueType:
    return BlockRecordStatus.Value(f"BLOCK_RECORD_STATUS_{name}")


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_a_status_is_followed_by_what_the_table_says(
    client: Client, way: Way, path: str
) -> None:
    run = await running(client)
    pairs = [(before, after) for before in STATUSES for after in STATUSES]
    first = [block(f"{before}-{after}", status_of(before)) for before, after in pairs]
    seqs = (await report(client, run.id, *first)).seqs

    async def follow(before: str, after: str, seq: int) -> None:
        name = f"{before}-{after}"
        outcome = await way(client, run.id, block(name, status_of(after)))
        if after in TABLE[before]:
            assert (outcome.seq > seq) == (after != before), (path, name)
        else:
            assert (outcome.code, outcome.reason) == (
                "FAILED_PRECONDITION",
                "ILLEGAL_TRANSITION",
            ), (path, name)
            assert outcome.metadata == {
                "from": f"BLOCK_RECORD_STATUS_{before}",
                "to": f"BLOCK_RECORD_STATUS_{after}",
                "block_id": name,
            }

    async with asyncio.TaskGroup() as group:
        for (before, after), seq in zip(pairs, seqs, strict=True):
            group.create_task(follow(before, after, seq))
    for (before, after), found in zip(pairs, await blocks_of(client, run.id), strict=True):
        expected = after if after in TABLE[before] else before
        assert found.status == status_of(expected), found.block_id


async def test_the_same_status_with_new_content_is_a_change(client: Client) -> None:
    run = await running(client)
    for status in (PENDING, RUNNING, PAUSED, SUCCEEDED):
        await report(client, run.id, block("a", status, attempt=status))
        again = block("a", status, attempt=status, message="new", output_data={"x": status})
        if status == SUCCEEDED:
            with refused(StatusCode.FAILED_PRECONDITION, "BLOCK_IS_FINAL"):
                await report(client, run.id, again)
            continue
        answer = await report(client, run.id, again)
        assert (answer.block_records[0].status, answer.block_records[0].message) == (status, "new")
        assert answer.seqs[0] == answer.block_records[0].first_seq + 1
    # A new try is a block of its own: it may begin as it likes.
    await report(client, run.id, block("a", PENDING, attempt=9))
