"""A server that is not there for a while, or does not answer in time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    DeleteTaskRecordRequest,
    GetTaskRecordRequest,
)

from tests.support.proxy import Proxy
from tests.support.steps import create, get, running, seconds
from tests.support.waiting import until_true
from vwed.client import Client, DeadlineExceeded, NotFound, Unavailable, channel, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

NOWHERE = ("127.0.0.1", 1)


def nobody_listens() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


class Tries:
    """Counts how often a client asked for its token: once a try."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        return "unused"

    async def more_than(self, tries: int) -> None:
        await until_true(lambda: self.made > tries, what="another try")


@asynccontextmanager
async def counted(target: str, tenant: str, deadline: float) -> AsyncIterator[tuple[Client, Tries]]:
    tries = Tries()
    async with connect(target, tenant=tenant, token=tries, deadline=deadline) as client:
        yield client, tries


async def test_calls_wait_until_a_server_is_back(
    client: Client, behind: Client, link: Proxy
) -> None:
    run = (await running(client)).id
    await get(behind, run)
    there, link.upstream = link.upstream, NOWHERE
    await link.cut()
    calls = asyncio.gather(get(behind, run), create(behind), running(behind))
    await asyncio.sleep(0.3)
    assert not calls.done()
    link.upstream = there
    found, created, started = await calls
    assert (found.id, created.lease_epoch) == (run, 0)
    assert started.executor_id == "robot-1"


async def test_what_could_not_be_sent_is_made_again_whatever_it_is(
    settings: Settings, client: Client, tenant: str
) -> None:
    run = (await create(client)).id
    address = nobody_listens()
    async with counted(address, tenant, 10) as (early, tries):
        deleting = asyncio.ensure_future(
            early.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))
        )
        await tries.more_than(1)
        async with serving(settings.model_copy(update={"listen": address})):
            await deleting
            with pytest.raises(NotFound):
                await get(early, run)


async def test_patience_ends_with_the_last_error(tenant: str) -> None:
    tries = Tries()
    async with connect(nobody_listens(), tenant=tenant, token=tries, patience=0.3) as client:
        with pytest.raises(Unavailable, match="Connection refused") as ended:
            await get(client, "run")
    assert tries.made > 1
    assert (ended.value.reason, ended.value.request_id) == ("", "")


async def test_each_try_has_the_deadline(client: Client, link: Proxy, tenant: str) -> None:
    run = (await create(client)).id
    async with counted(f"127.0.0.1:{link.port}", tenant, 0.2) as (behind, tries):
        link.freeze()
        calling = asyncio.ensure_future(get(behind, run))
        await tries.more_than(2)
        link.thaw()
        assert (await calling).id == run


async def test_a_timeout_of_a_call_is_for_all_its_tries(link: Proxy, tenant: str) -> None:
    async with counted(f"127.0.0.1:{link.port}", tenant, 10) as (behind, tries):
        link.freeze()
        with pytest.raises(DeadlineExceeded):
            await behind.records.GetTaskRecord(GetTaskRecordRequest(id="run"), timeout=0.2)
        assert tries.made == 1
        there, link.upstream = link.upstream, NOWHERE
        await link.cut()
        link.thaw()
        with pytest.raises(Unavailable):
            await behind.records.GetTaskRecord(GetTaskRecordRequest(id="run"), timeout=0.5)
        assert tries.made > 2
        link.upstream = there
        with pytest.raises(NotFound):
            await behind.records.GetTaskRecord(GetTaskRecordRequest(id="run"), timeout=30)


async def test_a_claim_may_wait_beyond_the_deadline(target: str, tenant: str) -> None:
    async with counted(target, tenant, 0.5) as (client, tries):
        await get_nothing(client)  # connected
        claim = ClaimTaskRecordsRequest(executor_id="robot-1", wait=seconds(1))
        before = tries.made
        assert not (await client.records.ClaimTaskRecords(claim)).task_records
        assert tries.made == before + 1


async def test_a_peer_that_is_gone_without_a_word_is_found_by_a_ping(
    link: Proxy, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings = ("grpc.keepalive_time_ms", "grpc.http2.ping_timeout_ms")
    options = dict(channel.OPTIONS)
    soon = options | {name: int(options[name]) // 100 for name in pings}
    monkeypatch.setattr(channel, "OPTIONS", [*soon.items()])
    async with counted(f"127.0.0.1:{link.port}", tenant, 600) as (behind, tries):
        await get_nothing(behind)
        link.freeze()
        calling = asyncio.ensure_future(get_nothing(behind))
        await tries.more_than(2)
        link.thaw()
        await calling


async def get_nothing(client: Client) -> None:
    with pytest.raises(NotFound):
        await get(client, "run")


async def test_a_call_that_is_given_up_ends(behind: Client, link: Proxy) -> None:
    link.upstream = NOWHERE
    calling = asyncio.ensure_future(get(behind, "run"))
    await asyncio.sleep(0.2)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
