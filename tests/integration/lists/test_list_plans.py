"""Lists of runs at a million: a page of 50 touches at most 500 buffers, however skewed the data."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.databases import filled_database
from vwed_grpc.domain.ordering import parse_order_by
from vwed_grpc.storage import run_lists
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.database import sync_engine
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement

RUNS = 1_000_000

TENANT = "plant"
MOST_BUFFERS = 500

# One run in 10,000 has the rare value, one in 100 the middling one, nine in ten the common one. One
# in 10,000 has no value.
_VALUE = """CASE WHEN hash % 10000 = 0 THEN 'rare' WHEN hash % 10000 = 9 THEN ''
                 WHEN hash % 100 = 1 THEN 'middling'
                 WHEN hash % 10 < 9 THEN 'common' ELSE 'v' || hash END"""
_FILL = f"""
    INSERT INTO task_records (tenant, id, task_def_id, status, external_id, executor_id, robot_id,
                              parent_task_record_id, labels, create_time, update_time)
    SELECT '{TENANT}', 'run-' || n, v, CASE v WHEN 'rare' THEN 8 WHEN 'middling' THEN 2
           WHEN 'common' THEN 7 ELSE 9 END, v, v, v, v, jsonb_build_object('zone', v),
           timestamptz '2026-01-01' + n * interval '1 second', now()
      FROM (SELECT n, {_VALUE} AS v
              FROM (SELECT n, abs(hashint4(n)) AS hash FROM generate_series(1, {RUNS}) n) h) s
"""
_FILL_LABELS = """
    INSERT INTO task_record_labels (tenant, key, value, create_time, task_record_id)
    SELECT tenant, 'zone', labels->>'zone', create_time, id FROM task_records
"""


_FLUSH = Statement("SELECT pg_stat_force_next_flush()")
_TOUCHED = Statement("""
    SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0))::bigint
      FROM pg_statio_user_tables
""")
_PLANS = Statement("SHOW plan_cache_mode")
PLANS = ("force_custom_plan", "force_generic_plan")
"""PostgreSQL may take either for a statement that it has prepared, after five times."""


class Metered(ReadingPool):
    """Counts the buffers that its pages touch."""

    buffers = 0

    async def fetch(
        self, statement: Statement, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        before = await self._touched()
        rows = await super().fetch(statement, parameters)
        self.buffers += await self._touched() - before
        return rows

    async def _touched(self) -> int:
        await super().fetch(_FLUSH)
        return int((await super().fetch(_TOUCHED))[0][0])


@asynccontextmanager
async def metered(url: str, plans: str) -> AsyncIterator[Metered]:
    """One connection for reads, whose statistics are complete when it says so."""
    engine = sync_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = sa.make_url(url).database
        connection.execute(sa.text(f"ALTER DATABASE {name} SET plan_cache_mode = {plans}"))
    engine.dispose()
    pool = Metered(Connector(url), connections=1, reads=1, statement_timeout=20)
    assert (await super(Metered, pool).fetch(_PLANS))[0][0] == plans
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[str]:
    tables = ("task_records", "task_record_labels")
    with filled_database(postgres_url, tables, (_FILL, _FILL_LABELS)) as url:
        yield url


@pytest.fixture(scope="module", params=PLANS)
async def million(filled: str, request: pytest.FixtureRequest) -> AsyncIterator[Metered]:
    async with metered(filled, request.param) as pool:
        yield pool


FILTERS: dict[str, TaskRecordFilter] = {"none": TaskRecordFilter()}
for value, status in (("rare", 8), ("middling", 2), ("common", 7)):
    FILTERS |= {
        f"task_def_ids {value}": TaskRecordFilter(task_def_ids=[value]),
        f"statuses {value}": TaskRecordFilter(statuses=[status]),  # type: ignore[list-item]  # a number of the enum
        f"external_ids {value}": TaskRecordFilter(external_ids=[value]),
        f"executor_ids {value}": TaskRecordFilter(executor_ids=[value]),
        f"robot_ids {value}": TaskRecordFilter(robot_ids=[value]),
        f"parent {value}": TaskRecordFilter(parent_task_record_id=value),
        f"label {value}": TaskRecordFilter(labels={"zone": value}),
    }
# Of the few runs that no executor has, or no robot, or that no other system named.
FILTERS["external_ids unset"] = TaskRecordFilter(external_ids=[""])
FILTERS["executor_ids unset"] = TaskRecordFilter(executor_ids=[""])
FILTERS["robot_ids unset"] = TaskRecordFilter(robot_ids=[""])
FILTERS["robot_ids, unset or rare"] = TaskRecordFilter(robot_ids=["", "rare"])
FILTERS["statuses, two"] = TaskRecordFilter(statuses=[8, 2])  # type: ignore[list-item]  # numbers of the enum
FILTERS["robot_ids, two"] = TaskRecordFilter(robot_ids=["rare", "middling"])


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("order_by", ["create_time desc", "create_time"])
async def test_a_page_touches_few_buffers(million: Metered, name: str, order_by: str) -> None:
    f = FILTERS[name]
    listed = run_lists.listed(TENANT, f)
    listing, where, ways = listed.listing, listed.where, listed.alternatives
    order = parse_order_by(order_by, {"create_time"}, "create_time")
    million.buffers = 0
    page = await listing.page(million, where, order, size=50, alternatives=ways)
    assert len(page.items) == 50
    assert million.buffers <= MOST_BUFFERS
    if name == "none" or "common" in name:
        first, million.buffers = million.buffers, 0
        await listing.page(
            million,
            where,
            order,
            size=50,
            alternatives=ways,
            position=_far(page.next_position, order_by),
        )
        assert million.buffers <= max(first * 1.5, first + 50), "page 1,000 as page 1"


def _far(position: Any, order_by: str) -> tuple[Any, ...]:
    """About where page 1,000 begins."""

    away = timedelta(seconds=50_000)
    return (position[0] - away if "desc" in order_by else position[0] + away, position[1])
