"""Versions of entries, and sets and deletes that ask for one."""

import asyncio

import pytest
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import (
    create_def,
    create_run,
    delete_entry,
    get_entry,
    set_entry,
)
from tests.support.refusals import refusal
from vwed.client import Client


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


async def test_a_version_never_repeats_also_across_delete_and_set(client: Client, run: str) -> None:
    versions = []
    for n in range(4):
        versions.append((await set_entry(client, run, "k", int_value=n)).version)
        if n % 2:
            await delete_entry(client, run, "k")
    assert versions == sorted(set(versions))


async def test_racing_sets_have_versions_of_their_own(client: Client, run: str) -> None:
    written = await asyncio.gather(*(set_entry(client, run, "k", int_value=n) for n in range(16)))
    assert len({entry.version for entry in written}) == 16
    last = max(written, key=lambda entry: entry.version)
    assert await get_entry(client, run, "k") == last


async def test_if_absent_sets_only_what_is_not_there(client: Client, run: str) -> None:
    first = await set_entry(client, run, "k", int_value=1, if_absent=True)
    refused = await refusal(set_entry(client, run, "k", int_value=2, if_absent=True))
    assert refused.code == "FAILED_PRECONDITION"
    assert await get_entry(client, run, "k") == first
    assert (await set_entry(client, run, "k", int_value=3, if_absent=False)).int_value == 3
    await delete_entry(client, run, "k")
    assert (await set_entry(client, run, "k", int_value=4, if_absent=True)).int_value == 4


async def test_of_racing_sets_with_if_absent_one_wins(client: Client, run: str) -> None:
    answers = await asyncio.gather(
        *(set_entry(client, run, "lock", int_value=n, if_absent=True) for n in range(8)),
        return_exceptions=True,
    )
    (won,) = [answer for answer in answers if isinstance(answer, DataCache)]
    assert await get_entry(client, run, "lock") == won


async def test_if_version_sets_and_deletes_only_that_version(client: Client, run: str) -> None:
    first = await set_entry(client, run, "k", int_value=1)
    second = await set_entry(client, run, "k", int_value=2, if_version=first.version)
    assert second.int_value == 2
    for call in (
        set_entry(client, run, "k", int_value=3, if_version=first.version),
        delete_entry(client, run, "k", if_version=first.version),
        delete_entry(client, run, "k", if_version=0),
        set_entry(client, run, "absent", int_value=3, if_version=1),
    ):
        assert (await refusal(call)).code == "FAILED_PRECONDITION"
    assert await get_entry(client, run, "k") == second
    await delete_entry(client, run, "k", if_version=second.version)
    assert (await refusal(get_entry(client, run, "k"))).code == "NOT_FOUND"


async def test_of_racing_sets_at_one_version_one_wins(client: Client, run: str) -> None:
    first = await set_entry(client, run, "k", int_value=0)
    answers = await asyncio.gather(
        *(set_entry(client, run, "k", int_value=n, if_version=first.version) for n in range(8)),
        return_exceptions=True,
    )
    (won,) = [answer for answer in answers if isinstance(answer, DataCache)]
    assert await get_entry(client, run, "k") == won
