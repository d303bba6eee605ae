"""A page of a tenant's log: how far it goes, whatever of it is still kept."""

import pytest

from tests.support.steps import block, report, running, sql
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.storage.feed import Stretch
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching import reading as module
from vwed_grpc.watching.reading import page


@pytest.fixture
async def runs(client: Client) -> list[str]:
    """Three, of five events each: the report of three is one group."""
    runs = sorted([(await running(client)).id for _ in range(3)])
    for run in runs:
        await report(client, run, *(block(name, RUNNING) for name in "abc"))
    return runs


ROOM = {
    "all": (15, [(0, 5), (1, 5), (2, 5)], None),
    "more than all": (100, [(0, 5), (1, 5), (2, 5)], None),
    "whole runs": (10, [(0, 5), (1, 5)], (1, 5)),
    "up to a group's end": (7, [(0, 5), (1, 2)], (1, 2)),
    "not into a group": (8, [(0, 5), (1, 2)], (1, 2)),
    "a group alone is cut": (4, [(0, 2)], (0, 2)),
}


@pytest.mark.parametrize(("room", "told", "end"), ROOM.values(), ids=ROOM)
async def test_a_page_ends_where_a_group_does(
    pool: ReadingPool,
    runs: list[str],
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    told: list[tuple[int, int]],
    end: tuple[int, int] | None,
) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", room)
    found, to = await page(pool, tenant, [Stretch(run, 1, 5) for run in runs])
    assert [(one.run, one.event.seq) for one in found] == [
        (runs[n], seq) for n, last in told for seq in range(1, last + 1)
    ]
    assert to == (None if end is None else (runs[end[0]], end[1]))


async def test_a_group_larger_than_a_page_is_cut(
    pool: ReadingPool, runs: list[str], tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 2)
    found, to = await page(pool, tenant, [Stretch(runs[0], 3, 5), Stretch(runs[1], 1, 5)])
    assert [(one.run, one.event.seq) for one in found] == [(runs[0], 3), (runs[0], 4)]
    assert to == (runs[0], 4)


@pytest.mark.parametrize(("room", "end"), [(7, (1, 2)), (10, (1, 5)), (11, (2, 1)), (15, None)])
async def test_what_retention_has_taken_is_passed_over(
    pool: ReadingPool,
    runs: list[str],
    tenant: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    end: tuple[int, int] | None,
) -> None:
    await sql(
        database_url,
        "DELETE FROM task_record_events WHERE tenant = :tenant RETURNING 1",
        tenant=tenant,
    )
    monkeypatch.setattr(module, "MAX_EVENTS", room)
    found, to = await page(pool, tenant, [Stretch(run, 1, 5) for run in runs])
    assert not found
    assert to == (None if end is None else (runs[end[0]], end[1]))
