"""A run's counts and progress: by the latest attempt of each block, on the last event alone."""

import random

import pytest
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import FinishTaskRecordRequest
from vwed.v1.task_record_pb2 import BlockCounts

from tests.support.steps import block, blocks_of, define, get, history, report, running
from vwed.client import Client
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import (
    CANCELED,
    FAILED,
    FINAL,
    PAUSED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    TRANSITIONS,
)

FIELDS = {
    PENDING: "pending",
    RUNNING: "running",
    PAUSED: "paused",
    SUCCEEDED: "succeeded",
    FAILED: "failed",
    SKIPPED: "skipped",
    CANCELED: "canceled",
}


async def counts(client: Client, run: str) -> tuple[BlockCounts, float]:
    """What the run says, and its newest event too."""
    record = await get(client, run)
    event = (await history(client, run))[-1]
    assert (event.block_counts, event.progress) == (record.block_counts, record.progress)
    return record.block_counts, record.progress


async def test_every_status_is_counted(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, *(block(f"x{s}", s) for s in FIELDS))
    expected = BlockCounts(total=7, **dict.fromkeys(FIELDS.values(), 1))
    assert await counts(client, run.id) == (expected, 4 / 7)


async def test_a_change_moves_a_block_from_one_count_to_another(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("a", RUNNING))
    assert await counts(client, run.id) == (BlockCounts(running=1, total=2), 0)
    await report(client, run.id, block("a", PAUSED))
    assert await counts(client, run.id) == (BlockCounts(paused=1, total=2), 0)
    await report(client, run.id, block("a", message="waits"))
    assert await counts(client, run.id) == (BlockCounts(paused=1, total=2), 0)
    await report(client, run.id, block("a", SUCCEEDED))
    assert await counts(client, run.id) == (BlockCounts(succeeded=1, total=2), 0.5)


async def test_only_the_latest_attempt_counts(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("a", FAILED))
    await report(client, run.id, block("a", RUNNING, attempt=2))
    assert await counts(client, run.id) == (BlockCounts(running=1, total=2), 0)
    await report(client, run.id, block("a", FAILED, attempt=5), block("b", PENDING))
    assert (await counts(client, run.id))[0] == BlockCounts(failed=1, pending=1, total=2)
    # An earlier attempt that comes late does not count.
    await report(client, run.id, block("a", SUCCEEDED, attempt=3), block("a", FAILED, attempt=2))
    assert (await counts(client, run.id))[0] == BlockCounts(failed=1, pending=1, total=2)


async def test_attempts_within_one_batch(client: Client) -> None:
    run = await running(client)
    await report(
        client,
        run.id,
        block("a", RUNNING),
        block("a", FAILED),
        block("a", RUNNING, attempt=2),
        block("a", SUCCEEDED, attempt=2),
        block("a", RUNNING, iteration="1"),
    )
    assert await counts(client, run.id) == (BlockCounts(succeeded=1, running=1, total=2), 0.5)


async def test_the_total_is_the_config_or_what_was_reported(client: Client) -> None:
    nested = {"id": "n", "type": "if", "children": {"default": [{"id": "m", "type": "x"}]}}
    task_def = await define(client, {"blocks": [nested, {"id": "o", "type": "x"}]})
    run = await running(client, task_def.id)
    assert run.block_counts == BlockCounts(total=3)
    await report(client, run.id, *(block(f"n{n}", SUCCEEDED) for n in range(3)))
    assert await counts(client, run.id) == (BlockCounts(succeeded=3, total=3), 1)
    await report(client, run.id, block("n", RUNNING))  # progress may fall
    assert await counts(client, run.id) == (BlockCounts(succeeded=3, running=1, total=4), 0.75)


async def test_a_run_without_blocks_has_no_progress_until_it_succeeded(client: Client) -> None:
    task_def = await define(client, {})
    run = await running(client, task_def.id)
    assert (run.progress, run.block_counts) == (0, BlockCounts())
    done = await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run.id, status=lifecycle.SUCCEEDED)
    )
    assert (done.progress, done.block_counts) == (1, BlockCounts())


async def test_the_last_event_of_a_report_alone_carries_them(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("a", RUNNING), block("b", RUNNING), block("a", SUCCEEDED))
    created, started, first, second, last = await history(client, run.id)
    for event in (created, started):
        assert event.block_counts == BlockCounts(total=2)
        assert event.HasField("progress")
    for event in (first, second):
        assert not event.HasField("block_counts")
        assert not event.HasField("progress")
    assert last.block_counts == BlockCounts(succeeded=1, running=1, total=2)
    assert last.progress == 0.5


Stored = dict[tuple[str, str, int], BlockRecord]


def any_legal_report(rng: random.Random, stored: Stored) -> BlockRecord:
    """A report that the table allows; `stored` holds the last one of each block."""
    key = rng.choice("abc"), rng.choice(["", "1"]), rng.randint(1, 3)
    before = stored[key].status if key in stored else PENDING
    reported = block(
        key[0], rng.choice(sorted(TRANSITIONS[before])), iteration=key[1], attempt=key[2]
    )
    if before not in FINAL:
        reported.message = str(rng.random())
    stored[key] = reported
    return reported


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_what_a_count_would_find(client: Client, seed: int) -> None:
    rng = random.Random(seed)
    stored: Stored = {}
    run = await running(client)
    for _ in range(12):
        batch = [any_legal_report(rng, stored) for _ in range(rng.randint(1, 8))]
        await report(client, run.id, *batch)
        latest = {key[:2]: reported.status for key, reported in sorted(stored.items())}
        expected = BlockCounts(total=max(2, len(latest)))
        for status in latest.values():
            setattr(expected, FIELDS[status], getattr(expected, FIELDS[status]) + 1)
        done = sum(status in FINAL for status in latest.values())
        assert await counts(client, run.id) == (expected, done / expected.total)
    statuses = {
        (b.block_id, b.iteration, b.attempt): b.status for b in await blocks_of(client, run.id)
    }
    assert statuses == {key: reported.status for key, reported in stored.items()}
