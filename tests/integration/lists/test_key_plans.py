"""Look-ups by key touch what they look up, also before PostgreSQL has any statistics."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from tests.support.databases import migrated_database
from vwed_grpc.storage import (
    block_records,
    data_cache,
    definitions,
    events,
    reported_runs,
    task_records,
)
from vwed_grpc.storage.statement import Statement

ROWS, KEYS = 20_000, 200
BUFFERS = 12
"""That a key may touch: the pages of an index from its root, and of its table."""

_BARE = """
    ALTER TABLE block_records SET (autovacuum_enabled = off);
    ALTER TABLE task_records SET (autovacuum_enabled = off);
    ALTER TABLE task_record_events SET (autovacuum_enabled = off);
    ALTER TABLE data_cache SET (autovacuum_enabled = off);
    ALTER TABLE task_defs SET (autovacuum_enabled = off);
    ALTER TABLE task_def_versions SET (autovacuum_enabled = off);
"""
_FILL = """
    INSERT INTO block_records (tenant, task_record_id, block_id, iteration, attempt, id, status,
                               parent_block_record_id, first_seq, seq, create_time, update_time)
    SELECT 't', 'run', 'b' || n, '', 1, 'id' || n, 2,
           CASE WHEN n BETWEEN 2 AND {keys} THEN 'id' || n - 1 ELSE '' END, n, n, now(), now()
      FROM generate_series(1, {rows}) n;
    INSERT INTO task_records (tenant, id, task_def_id, task_def_version, task_def_name, status,
                              root_task_record_id, attempt, seq, run_seq, create_time, update_time)
    SELECT 't', 'run' || n, 'def', 1, 'def', 2, 'run' || n, 1, 1, 1, now(), now()
      FROM generate_series(1, {rows}) n;
    INSERT INTO task_record_events (tenant, task_record_id, seq, kind, event_time, event)
    SELECT 't', 'run' || n, 1, 1, timestamptz '2026-01-01', '' FROM generate_series(1, {keys}) n;
    INSERT INTO data_cache (tenant, task_record_id, key, id, type, value, version, create_time,
                            update_time)
    SELECT 't', 'run', 'k' || n, 'id' || n, 1, '', n, now(), now()
      FROM generate_series(1, {rows}) n;
    INSERT INTO task_defs (tenant, id, name, version, status, create_time, update_time)
    SELECT 't', 'def' || n, 'def' || n, 1, 2, now(), now() FROM generate_series(1, {rows}) n;
    INSERT INTO task_def_versions (tenant, task_def_id, version, name, config, write_time)
    SELECT 't', 'def' || n, 1, 'def' || n, '', now() FROM generate_series(1, {rows}) n;
"""


@pytest.fixture(scope="module")
async def connection(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """To a database whose tables have rows and no statistics; it planned while they were empty."""
    with migrated_database(postgres_url) as url:
        plain = sa.make_url(url).set(drivername="postgresql")
        connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
        await connection.execute(_BARE)
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for prepared, (statement, _) in LOOK_UPS.items():
            await connection.execute(f'PREPARE "{prepared}" AS {statement.sql}')
            await connection.execute(_execute(prepared))
        await connection.execute(_FILL.format(rows=ROWS, keys=KEYS))
        yield connection
        await connection.close()


def _names(prefix: str) -> list[str]:
    return [f"{prefix}{n}" for n in range(1, KEYS + 1)]


_RUN = ["run"] * KEYS
LOOK_UPS: Mapping[str, tuple[Statement, dict[str, Any]]] = {
    "blocks": (
        block_records._LOOK_UP,
        {
            "runs": _RUN,
            "block_ids": _names("b"),
            "iterations": [""] * KEYS,
            "full_views": [False] * KEYS,
        },
    ),
    "parents": (block_records._LOOK_UP_IDS, {"runs": _RUN, "ids": _names("id")}),
    "blocks above": (
        block_records._ABOVE,
        {"runs": ["run"], "ids": [f"id{KEYS}"], "most": 1_000},
    ),
    "runs to report to": (reported_runs.LOCK, {"ids": _names("run")}),
    "runs": (task_records._GET, {"id": _names("run")}),
    "runs with aged events": (
        events._AGED,
        {"before": datetime(2026, 1, 2, tzinfo=UTC), "runs": KEYS},
    ),
    "entries": (data_cache.GET, {"task_record_id": _RUN, "key": _names("k")}),
    "definitions": (definitions.task_defs._get, {"id": _names("def")}),
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(("statement", "keys"), LOOK_UPS.values(), ids=LOOK_UPS)
async def test_a_key_touches_few_buffers(
    connection: asyncpg.Connection, statement: Statement, keys: dict[str, Any], mode: str
) -> None:
    await connection.execute(f"SET plan_cache_mode = {mode}")
    arguments = statement.arguments({"tenant": "t", **keys})
    assert await _buffers(connection, statement.sql, *arguments) <= KEYS * BUFFERS


@pytest.mark.parametrize("name", LOOK_UPS)
async def test_a_plan_from_when_there_was_nothing_is_good_for_much(
    connection: asyncpg.Connection, name: str
) -> None:
    """PostgreSQL keeps the generic plan of a prepared statement until it has new statistics."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    assert await _buffers(connection, _execute(name)) <= KEYS * BUFFERS


async def _buffers(connection: asyncpg.Connection, sql: str, *arguments: Any) -> int:
    """How many pages a statement touches that finds a row for each key."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
    plan = json.loads(await connection.fetchval(explain, *arguments))[0]["Plan"]
    assert plan["Actual Rows"] == KEYS
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _execute(name: str) -> str:
    """Runs the prepared statement of that name, whose arguments are simple words and numbers."""
    statement, keys = LOOK_UPS[name]
    given = (
        f"{{{','.join(json.dumps(item) for item in value)}}}" if isinstance(value, list) else value
        for value in statement.arguments({"tenant": "t", **keys})
    )
    quoted = ", ".join(f"'{value}'" for value in given)
    return f'EXECUTE "{name}" ({quoted})'
