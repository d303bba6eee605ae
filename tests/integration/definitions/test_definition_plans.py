"""Lists of definitions at 100,000: a page of 50 touches at most 500 buffers, whatever the data."""

from collections.abc import AsyncIterator, Iterator
from itertools import product

import pytest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import TaskDefFilter

from tests.integration.lists.test_list_plans import MOST_BUFFERS, PLANS, Metered, metered
from tests.support.databases import filled_database
from vwed_grpc.domain.ordering import parse_order_by
from vwed_grpc.storage.definition_lists import filtered
from vwed_grpc.storage.definitions import task_defs
from vwed_grpc.storage.listing import Page, Position

DEFINITIONS = 100_000
TENANT = "plant"

# Of each thing that can be asked for, ten have the rare value, 1 % the middling one, nine in ten
# the common one, spread over all; of one label the last 1 % made have the value "last".
_FILL = f"""
    INSERT INTO task_defs (tenant, id, name, task_type, labels, create_time, update_time, status,
                           task_template_id, delete_time)
    SELECT '{TENANT}', 'def-' || hash || '-' || n, 'name-' || n, v,
           jsonb_build_object('zone', v, 'line', CASE WHEN n > {DEFINITIONS} * 0.99 THEN 'last'
                              ELSE 'first' END),
           timestamptz '2026-01-01' + n * interval '1 second',
           timestamptz '2026-03-01' + hash % 7919 * interval '1 minute' + n * interval '1 us',
           CASE v WHEN 'rare' THEN 1 WHEN 'common' THEN 2 ELSE 3 END, v,
           CASE WHEN hash % 20 = 3 THEN timestamptz '2026-06-01' END
      FROM (SELECT n, hash, CASE WHEN n % 10000 = 0 THEN 'rare' WHEN hash % 100 = 1 THEN 'middling'
                            WHEN hash % 10 < 9 THEN 'common' ELSE '' END AS v
              FROM (SELECT n, abs(hashint8(n)) AS hash
                      FROM generate_series(1, {DEFINITIONS}) n) h) s
"""
_FILL_FACETS = """
    INSERT INTO task_def_facets (tenant, id, facet, name, create_time, update_time, task_type)
    SELECT tenant, id, CASE WHEN delete_time IS NULL THEN 'live:' ELSE 'gone:' END ||
           unnest(ARRAY['all', 'name=' || name, 'task_type=' || task_type, 'status=' || status,
                        'task_template_id=' || task_template_id, 'label.zone=' || (labels->>'zone'),
                        'label.line=' || (labels->>'line')]),
           name, create_time, update_time, nullif(task_type, '')
      FROM task_defs
"""


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[str]:
    tables = ("task_defs", "task_def_facets")
    with filled_database(postgres_url, tables, (_FILL, _FILL_FACETS)) as url:
        yield url


@pytest.fixture(scope="module", params=PLANS)
async def many(filled: str, request: pytest.FixtureRequest) -> AsyncIterator[Metered]:
    async with metered(filled, request.param) as database:
        yield database


FILTERS: dict[str, TaskDefFilter] = {
    "none": TaskDefFilter(),
    "names": TaskDefFilter(names=["name-7", "name-70000"]),
    "label at the end": TaskDefFilter(labels={"line": "last"}),
    "two labels": TaskDefFilter(labels={"line": "first", "zone": "rare"}),
    "statuses, two": TaskDefFilter(statuses=[2, 3]),  # type: ignore[list-item]  # numbers of the enum
    "task_types, three": TaskDefFilter(task_types=["rare", "middling", "common"]),
}
for value, status in (("rare", 1), ("common", 2), ("middling", 3)):
    FILTERS |= {
        f"task_types {value}": TaskDefFilter(task_types=[value]),
        f"statuses {value}": TaskDefFilter(statuses=[status]),  # type: ignore[list-item]  # a number of the enum
        f"task_template_ids {value}": TaskDefFilter(task_template_ids=[value]),
        f"labels {value}": TaskDefFilter(labels={"zone": value}),
    }
ORDERS = ("create_time", "name", "task_type", "update_time")
EVERY_ORDER = [f"{field}{way}" for field, way in product(ORDERS, ("", " desc"))]


async def page_of(
    many: Metered,
    f: TaskDefFilter,
    order_by: str,
    position: Position | None = None,
    *,
    deleted: bool = False,
) -> tuple[Page[TaskDef], int]:
    """A page, and the buffers that it touched."""
    many.buffers = 0
    listing = await filtered(many, task_defs, TENANT, f, deleted=deleted)
    page = await listing.page(
        many,
        [task_defs.heads.c.tenant == TENANT],
        parse_order_by(order_by, ORDERS, "create_time"),
        size=50,
        position=position,
    )
    return page, many.buffers


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("order_by", EVERY_ORDER)
async def test_a_page_touches_few_buffers(many: Metered, name: str, order_by: str) -> None:
    f = FILTERS[name]
    page, buffers = await page_of(many, f, order_by)
    assert len(page.items) == 50 or "rare" in name or name in {"names", "two labels"}
    assert buffers <= MOST_BUFFERS
    if page.next_position is not None:
        following, buffers = await page_of(many, f, order_by, page.next_position)
        assert not {d.id for d in page.items} & {d.id for d in following.items}
        assert buffers <= MOST_BUFFERS, "the second page"
