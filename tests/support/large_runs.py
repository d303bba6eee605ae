"""Runs with very many blocks, as reports would have left them."""

from tests.support.steps import running, sql
from vwed.client import Client
from vwed_grpc.domain.blocks import SUCCEEDED, Status

_BLOCKS = """
    INSERT INTO block_records (tenant, task_record_id, block_id, iteration, attempt, id, block_type,
                               status, first_seq, seq, create_time, update_time)
    SELECT tenant, id, 'b' || n, '', 1, 'id-' || n, 'move', :status,
           seq + n, seq + n, create_time, update_time
      FROM task_records, generate_series(CAST(:first AS int), :last) n
     WHERE tenant = :tenant AND id = :run
 RETURNING seq
"""
_COUNTERS = """
    UPDATE task_records SET seq = seq + :count, blocks_recorded = :count, blocks_{field} = :count
     WHERE tenant = :tenant AND id = :run RETURNING seq
"""
_EVENTS = """
    INSERT INTO task_record_events (tenant, task_record_id, seq, group_seq, kind, event_time, event)
    SELECT tenant, task_record_id, seq + n, seq + n, 2, event_time, event
      FROM task_record_events, generate_series(CAST(:first AS int), :last) n
     WHERE tenant = :tenant AND task_record_id = :run AND seq = :seq
 RETURNING seq
"""


_AT_ONCE = 20_000


async def large(client: Client, database_url: str, tenant: str, count: int, status: Status) -> str:
    """The id of a run with so many blocks of one status, each with an event."""
    run = await running(client)
    of = {"tenant": tenant, "run": run.id}
    for first in range(1, count + 1, _AT_ONCE):
        part = {"first": first, "last": min(first + _AT_ONCE - 1, count)}
        await sql(database_url, _BLOCKS, **of, **part, status=int(status))
        await sql(database_url, _EVENTS, **of, **part, seq=run.seq)
    field = "succeeded" if status == SUCCEEDED else "running"
    await sql(database_url, _COUNTERS.format(field=field), **of, count=count)
    return run.id
