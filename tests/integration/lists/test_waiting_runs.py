"""How long runs wait is known without looking at all that do."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.databases import migrated_database
from vwed_grpc.storage import waiting_runs
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool

RUNS, TYPES = 20_000, 5
BUFFERS = 60
"""Six looks along the index, and the oldest run of each task type."""
_FILL = """
    INSERT INTO task_records (tenant, id, task_def_id, task_def_version, task_def_name, task_type,
                              status, root_task_record_id, attempt, seq, run_seq, create_time,
                              update_time)
    SELECT 't', 'run' || n, 'def', 1, 'def', 'type' || n % {types}, CASE WHEN n > {types} THEN 1
           ELSE 2 END, 'run' || n, 1, 1, 1, now() - n * interval '1 s', now()
      FROM generate_series(1, {runs}) n
"""


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[str]:
    with migrated_database(postgres_url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE task_records SET (autovacuum_enabled = off)")
            connection.execute(_FILL.format(runs=RUNS, types=TYPES))
        yield url


async def test_it_is_the_oldest_of_each_task_type(filled: str) -> None:
    pool = Pool(Connector(filled), connections=1)
    ages = await waiting_runs.oldest(pool)
    await pool.close()
    assert ages.keys() == {("t", f"type{n}") for n in range(TYPES)}
    oldest = RUNS - TYPES + 1
    assert min(ages.values()) >= oldest


@pytest.mark.parametrize("statistics", [False, True])
async def test_a_look_touches_the_oldest_alone(filled: str, *, statistics: bool) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        if statistics:
            connection.execute("ANALYZE task_records")
        text = str(waiting_runs._OLDEST.compile(compile_kwargs={"literal_binds": True}))
        (plan,), *_ = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}")
    found = plan if isinstance(plan, list) else json.loads(plan)
    touched = sum(found[0]["Plan"][f"Shared {kind} Blocks"] for kind in ("Hit", "Read"))
    assert touched <= BUFFERS
