"""`vwed-grpc prune` repeats the call until no old run is left."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from tests.support.aging import age, ended, left
from vwed.client import Client
from vwed_grpc.cli.main import main
from vwed_grpc.domain.lifecycle import FAILED
from vwed_grpc.services import figures

BEFORE = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d}"


async def prune(target: str, tenant: str, *options: str, before: str = BEFORE) -> tuple[int, str]:
    """Exit code and what was said last."""
    words = ["prune", "--target", target, "--tenant", tenant, "--before", before, *options]
    ended = await asyncio.to_thread(CliRunner().invoke, main, words)
    return ended.exit_code, ended.output.strip().splitlines()[-1]


async def test_it_deletes_all_that_is_old(
    client: Client,
    target: str,
    tenant: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "PRUNED_AT_ONCE", 2)  # the server is in this process
    old = [await ended(client) for _ in range(5)]
    failed, young = await ended(client, FAILED), await ended(client)
    for run in (*old, failed):
        await age(database_url, tenant, run.id, days=9)
    assert await prune(target, tenant, "--dry-run") == (0, "2 or more runs would be deleted")
    assert await prune(target, tenant, "--status", "failed", "--dry-run") == (
        0,
        "1 runs would be deleted",
    )
    assert await prune(target, tenant, "--status", "SUCCEEDED") == (0, "5 runs deleted")
    assert await left(client) == {failed.id, young.id}
    assert await prune(target, tenant, before="2020-01-01T00:00:00+02:00") == (0, "0 runs deleted")
    assert await prune(target, tenant) == (0, "1 runs deleted")
    assert await left(client) == {young.id}
    assert (await prune(target, tenant, before="yesterday"))[0] == 2
