"""A retry from the failure: what was done in the old run counts as done in the new one."""

from dataclasses import replace

from vwed_grpc.domain.blocks import BLOCK_COUNTS, Block
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import block_copies, data_cache, events, rows, task_records
from vwed_grpc.storage.events import Event
from vwed_grpc.watching.events import block_event, progress_of
from vwed_grpc.writes.runs import RunChange


async def copy_work(change: RunChange, old: str, actor: str, reason: str) -> None:
    """Copies the SUCCEEDED and SKIPPED blocks and the data cache of `old` into a new run.

    `old` is exclusively locked. The copies have events of their own, as one report would; the last
    of them carries the run's counts and progress.
    """
    tx, tenant, record = change.tx, change.tenant, change.record
    await data_cache.copy(tx, tenant, old, record.id)
    copied = await block_copies.find(tx, tenant, old)
    total = len(copied.first_seqs)
    if not total:
        return
    group_seq = record.seq + total
    counts = record.block_counts
    for status, count in copied.counts.items():
        setattr(counts, BLOCK_COUNTS[status - 1], count)
    rows.put_total(counts, change.run.config_blocks)
    record.progress = rows.progress(counts, record.status)

    def told_of(block: Block) -> Event:
        return block_event(
            record.id, block.record, group_seq, actor, reason, block.input_data, block.output_data
        )

    told: list[Event] = []
    async for blocks in block_copies.copy(tx, tenant, old, record.id, record.seq, copied):
        told = await in_turns(told_of, blocks)
        record.seq += len(told)
        if record.seq == group_seq:
            last = told[-1]
            told[-1] = replace(last, event=last.event + progress_of(counts, record.progress))
        await events.append(tx, tenant, [(record.id, told)])
    await task_records.save(tx, tenant, change.run, new_etag_too=False)
    await task_records.add_recorded(tx, tenant, record.id, total)
    if len(told) == total:
        change.effects.run_changed(tenant, record.id, told, record.robot_id)
    else:
        change.effects.run_changed_much(tenant, record.id, record.seq)
