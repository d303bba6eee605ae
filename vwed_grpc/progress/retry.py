"""A retry from the failure: what was done in the old run counts as done in the new one."""

from vwed_grpc.domain.blocks import SUCCEEDED
from vwed_grpc.domain.ids import new_id
from vwed_grpc.progress.events import block_event, progress_of
from vwed_grpc.progress.runs import RunChange
from vwed_grpc.storage import block_records, data_cache, rows, task_records
from vwed_grpc.storage.events import Event

_AT_ONCE = 500


async def copy_work(change: RunChange, old: str, actor: str, reason: str) -> None:
    """Copies the SUCCEEDED and SKIPPED blocks and the data cache of `old` into a new run.

    A block counts by its latest attempt. The copies have events of their own, as one report would;
    the last of them carries the run's counts and progress.
    """
    tx, tenant, record = change.tx, change.tenant, change.record
    await data_cache.copy(tx, tenant, old, record.id)
    ids: dict[str, str] = {}
    told: list[Event] = []
    counts = record.block_counts
    done = await block_records.done(tx, tenant, old)
    group_seq = record.seq + len(done)
    for start in range(0, len(done), _AT_ONCE):
        copies = []
        for block in await block_records.with_payload(
            tx, tenant, old, done[start : start + _AT_ONCE]
        ):
            row = block.record
            new = ids[row.id] = new_id()
            row.id = new
            row.task_record_id = record.id
            # A parent that is not copied will be reported anew, under another id.
            row.parent_block_record_id = ids.get(row.parent_block_record_id, "")
            record.seq += 1
            row.seq = row.first_seq = record.seq
            row.create_time.CopyFrom(record.create_time)
            row.update_time.CopyFrom(record.create_time)
            field = "succeeded" if row.status == SUCCEEDED else "skipped"
            setattr(counts, field, getattr(counts, field) + 1)
            copies.append((record.id, block))
            told.append(
                block_event(
                    record.id, row, group_seq, actor, reason, block.input_data, block.output_data
                )
            )
        await tx.fetch(block_records.UPSERT, block_records.upserted(tenant, tx.now, copies))
    if not told:
        return
    rows.put_total(counts, change.run.config_blocks)
    record.progress = rows.progress(counts, record.status)
    last = told[-1]
    tail = progress_of(counts, record.progress)
    told[-1] = Event(last.seq, last.group_seq, last.kind, last.event + tail, last.payload)
    await task_records.save(tx, tenant, change.run, new_etag_too=False)
    await task_records.add_recorded(tx, tenant, record.id, len(told))
    await change.tell(told)
