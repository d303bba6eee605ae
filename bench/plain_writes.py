"""The ceiling of durable block reports: asyncpg alone, the same rows, 500 blocks a transaction.

`python -m bench.plain_writes URL SECONDS ROUND` prints {"blocks_per_s": …}.
"""

import json
import sys
import time
from datetime import UTC, datetime

import asyncpg
import uvloop

BATCH = 500
_BLOCKS = """
    INSERT INTO block_records (tenant, task_record_id, block_id, iteration, attempt, id, block_type,
                               status, output_data, start_time, end_time, robot_id, message,
                               first_seq, seq, create_time, update_time)
    SELECT 'plain', u.run, u.block_id, '', 1, u.id, 'drive', u.status, u.output_data,
           u.start_time, u.end_time, 'AMR-03', u.message, u.first_seq, u.seq, $9, $9
      FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::bytea[],
                  $6::timestamptz[], $7::timestamptz[], $8::text[], $10::bigint[], $11::bigint[])
           AS u (run, block_id, id, status, output_data, start_time, end_time, message,
                 first_seq, seq)
        ON CONFLICT (tenant, task_record_id, block_id, iteration, attempt) DO UPDATE
       SET status = excluded.status, output_data = excluded.output_data,
           end_time = excluded.end_time, message = excluded.message, seq = excluded.seq,
           update_time = excluded.update_time
"""
_EVENTS = """
    INSERT INTO task_record_events
           (tenant, task_record_id, seq, group_seq, kind, event_time, event)
    SELECT 'plain', u.run, u.seq, u.seq, 2, $3, u.event
      FROM unnest($1::text[], $2::bigint[], $4::bytea[]) AS u (run, seq, event)
"""
RUNNING, SUCCEEDED = 2, 4


async def write(url: str, seconds: float, nth: int) -> float:
    """Blocks a second: each is written twice, as it begins and as it ends."""
    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    blocks = await connection.prepare(_BLOCKS)
    events = await connection.prepare(_EVENTS)
    run = [f"plain-{nth}"] * BATCH
    event = [bytes(260)] * BATCH
    written = turn = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        first = turn // 2 * 2 * BATCH
        ends = bool(turn % 2)
        now = datetime.now(UTC)
        names = [f"plain-{first}-{i}" for i in range(BATCH)]
        first_seqs = list(range(first, first + BATCH))
        seqs = [seq + BATCH * ends for seq in first_seqs]
        async with connection.transaction():
            await blocks.fetch(
                run,
                names,
                [f"{nth}-{name}" for name in names],
                [SUCCEEDED if ends else RUNNING] * BATCH,
                [bytes(60) if ends else None] * BATCH,
                [now] * BATCH,
                [now if ends else None] * BATCH,
                ["arrived at station P-07" if ends else ""] * BATCH,
                now,
                first_seqs,
                seqs,
            )
            await events.fetch(run, seqs, now, event)
        written += BATCH
        turn += 1
    took = time.perf_counter() - began
    await connection.close()
    return written / took


if __name__ == "__main__":
    rate = uvloop.run(write(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
    print(json.dumps({"blocks_per_s": rate}))
