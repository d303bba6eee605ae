"""What the service refuses for now: for want of room, or because a token has come to its end."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    DeleteTaskRecordRequest,
    WatchTaskRecordsRequest,
    WatchTaskRecordsResponse,
)

from tests.support.locks import locked
from tests.support.steps import create, seconds, sql
from tests.support.tokens import token, write_keys
from tests.support.waiting import until_true
from vwed.client import Client, ResourceExhausted, Unauthenticated, connect
from vwed_grpc.rpc.tokens import LEEWAY_SECONDS
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

GOOD = token()
WAITS_FOR_A_LOCK = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
EXPIRED = token(lives=-LEEWAY_SECONDS - 1)


@pytest.fixture(scope="module")
async def strict(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The target of a server that asks for tokens, and has one place for each kind of call."""
    keys = write_keys(tmp_path_factory.mktemp("keys") / "keys.json", "HS256")
    one = {"waits_of_connection": 1, "live_calls": 1, "live_queue": 1, "live_queue_seconds": 0.05}
    wanted = {"token_keys": keys, **one}
    async with serving(settings.model_copy(update=wanted)) as port:
        yield f"127.0.0.1:{port}"


class Tokens:
    """Those that are given out, one after the other; the last one again and again."""

    def __init__(self, *tokens: str) -> None:
        self.given = 0
        self._left = list(tokens)

    def __call__(self) -> str:
        self.given += 1
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


async def test_a_token_that_has_come_to_its_end_is_renewed(strict: str, tenant: str) -> None:
    tokens = Tokens(EXPIRED, GOOD)
    async with connect(strict, tenant=tenant, token=tokens) as client:
        run = await create(client)
    tokens = Tokens(EXPIRED, GOOD)
    async with connect(strict, tenant=tenant, token=tokens) as client:
        await delete(client, run.id)


@pytest.mark.parametrize("given", [EXPIRED, Tokens(EXPIRED), "nonsense", Tokens("nonsense", GOOD)])
async def test_a_token_that_is_not_renewed_or_bad_is_told_at_once(
    strict: str, tenant: str, given: str | Callable[[], str]
) -> None:
    async with connect(strict, tenant=tenant, token=given) as client:
        with pytest.raises(Unauthenticated) as refused:
            await create(client)
    assert refused.value.reason in {"TOKEN_EXPIRED", "TOKEN_INVALID"}


async def watching(
    client: Client,
) -> grpc.aio.UnaryStreamCall[WatchTaskRecordsRequest, WatchTaskRecordsResponse]:
    """A call that takes the only place there is for those that wait."""
    watch = client.records.WatchTaskRecords(WatchTaskRecordsRequest())
    await anext(aiter(watch))
    return watch


async def test_a_waiting_claim_that_finds_no_room_comes_again(strict: str, tenant: str) -> None:
    tokens = Tokens(GOOD)
    claim = ClaimTaskRecordsRequest(executor_id="robot-1", wait=seconds(60))
    async with connect(strict, tenant=tenant, token=tokens) as client:
        watch = await watching(client)
        before = tokens.given
        claiming = asyncio.ensure_future(client.records.ClaimTaskRecords(claim))
        await until_true(lambda: tokens.given > before + 1, what="another try")
        assert not claiming.done()
        watch.cancel()
        run = await create(client)
        assert [claimed.id for claimed in (await claiming).task_records] == [run.id]


async def test_a_deletion_that_finds_no_room_comes_again(
    strict: str, tenant: str, database_url: str
) -> None:
    """It was not begun, so it may, as nothing else that deletes."""
    tokens = Tokens(GOOD)
    async with connect(strict, tenant=tenant, token=tokens) as client:
        first, other = [(await create(client)).id for _ in range(2)]
        async with locked(database_url, "task_records", "id", first):
            works = asyncio.ensure_future(delete(client, first))
            await until_true(lambda: sql(database_url, WAITS_FOR_A_LOCK), what="the first call")
            before = tokens.given
            comes_again = asyncio.ensure_future(delete(client, other))
            await until_true(lambda: tokens.given > before + 1, what="another try")
            assert not comes_again.done()
        await works
        await comes_again


async def delete(client: Client, run: str) -> None:
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))


async def test_who_finds_no_room_is_told_when_to_come_again(strict: str, tenant: str) -> None:
    claim = ClaimTaskRecordsRequest(executor_id="robot-1", wait=seconds(60))
    async with connect(strict, tenant=tenant, token=GOOD, patience=0.0) as client:
        watch = await watching(client)
        with pytest.raises(ResourceExhausted) as refused:
            await client.records.ClaimTaskRecords(claim)
        watch.cancel()
    assert refused.value.reason == "TOO_MANY_WAITS"
    assert refused.value.retry_after
