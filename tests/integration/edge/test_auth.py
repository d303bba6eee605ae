"""Who is let in: every RPC that reflection finds, with every kind of bad token."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    ListTaskRecordEventsRequest,
    ReportBlockRequest,
    StreamBlockReportsRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
)

from tests.integration.edge.test_bad_input import METHODS
from tests.support.guarded import Rpc, request, rpcs, send
from tests.support.refusals import Refusal
from tests.support.tokens import ALL_SCOPES, PRIVATE, bearer, token, write_keys
from tests.support.valid_requests import RUN
from tests.support.waiting import until_true
from tests.support.world import World
from vwed.client import Client, connect, watch_run
from vwed_grpc.limits import Limits
from vwed_grpc.rpc import scopes
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.registration import Handlers
from vwed_grpc.rpc.tokens import LEEWAY_SECONDS
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

TENANT = "t-guarded"
A_BLOCK = BlockRecord(block_id="a-block")
Metadata = list[tuple[str, str]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keys(tmp_path_factory.mktemp("keys") / "keys.json", *PRIVATE)


@pytest.fixture(scope="module")
async def guarded(settings: Settings, keys: Path) -> AsyncIterator[str]:
    """The target of a server that asks for tokens."""
    async with serving(settings.model_copy(update={"token_keys": keys})) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def channel(guarded: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(guarded) as channel:
        yield channel


@pytest.fixture(scope="module")
async def world(target: str, channel: grpc.aio.Channel) -> World:
    """What there is, made through a server without authentication on the same database."""
    async with connect(target, tenant=TENANT, bare=True) as client:
        world = World(channel, client, TENANT)
        await world.fill()
    return world


@pytest.fixture(scope="module")
async def found(channel: grpc.aio.Channel) -> list[Rpc]:
    return await rpcs(channel)


def of_tenant(*more: tuple[str, str], tenant: str = TENANT) -> Metadata:
    return [("x-vwed-tenant", tenant), *more]


def needed(rpc: Rpc) -> Sequence[str]:
    if rpc.ours:
        return scopes.scopes_of(METHODS[rpc.name])
    return scopes._OF_SERVICES[rpc.service.rpartition(".")[2]]


def without_scope(rpc: Rpc) -> str:
    return token(*(scope for scope in ALL_SCOPES if scope not in needed(rpc)))


BAD_TOKENS: dict[str, tuple[Any, str, str]] = {
    "none": (None, "UNAUTHENTICATED", "TOKEN_MISSING"),
    "no bearer": (lambda _: "Basic dXNlcjpwYXNz", "UNAUTHENTICATED", "TOKEN_INVALID"),
    "nothing after bearer": (lambda _: "Bearer", "UNAUTHENTICATED", "TOKEN_INVALID"),
    "no token": (lambda _: "Bearer nonsense", "UNAUTHENTICATED", "TOKEN_INVALID"),
    "of a wrong key": (
        lambda _: f"Bearer {token(key=b'x' * 32)}",
        "UNAUTHENTICATED",
        "TOKEN_INVALID",
    ),
    "expired": (
        lambda _: f"Bearer {token(lives=-LEEWAY_SECONDS - 1)}",
        "UNAUTHENTICATED",
        "TOKEN_EXPIRED",
    ),
    "of another tenant": (
        lambda _: f"Bearer {token(tenants=['t-other', TENANT + 'x', TENANT[:-1]])}",
        "PERMISSION_DENIED",
        "TENANT_NOT_ALLOWED",
    ),
    "of no tenant": (
        lambda _: f"Bearer {token(tenants=None)}",
        "PERMISSION_DENIED",
        "TENANT_NOT_ALLOWED",
    ),
    "lacking the scope": (
        lambda rpc: f"Bearer {without_scope(rpc)}",
        "PERMISSION_DENIED",
        "SCOPE_MISSING",
    ),
}


@pytest.mark.parametrize("bad", BAD_TOKENS)
async def test_nobody_gets_through(
    world: World, channel: grpc.aio.Channel, found: list[Rpc], bad: str
) -> None:
    make, code, reason = BAD_TOKENS[bad]
    wrong = list[tuple[Rpc, list[Refusal | None]]]()
    for rpc in found:
        if not needed(rpc) or (reason == "TENANT_NOT_ALLOWED" and not rpc.ours):
            continue
        metadata = of_tenant(*([("authorization", make(rpc))] if make else []))
        answers = [
            await send(channel, rpc, request(rpc), metadata),
            await send(channel, rpc, request(rpc, there=False), metadata),
            await send(channel, rpc, b"\xff\xff\xff", metadata),
            await send(channel, rpc, request(rpc), [*metadata, ("x-vwed-consistency", "no")]),
        ]
        first = answers[0]
        alike = all(answer == first for answer in answers)
        if first is None or (first.code, first.reason) != (code, reason) or not alike:
            wrong.append((rpc, answers))
    assert not wrong


async def test_a_good_token_gets_through(
    world: World, channel: grpc.aio.Channel, found: list[Rpc]
) -> None:
    """With each of the scopes that an RPC names; so the table above is not empty."""
    assert {rpc.name for rpc in found if rpc.ours} == set(METHODS)
    assert {rpc.service for rpc in found if not needed(rpc)} == {"grpc.health.v1.Health"}
    for rpc in found:
        for scope in needed(rpc) or ("none",):
            metadata = of_tenant(bearer(token(scope, tenants=[TENANT])))
            refused = await send(channel, rpc, request(rpc, there=False), metadata)
            assert refused is None or refused.code not in {"UNAUTHENTICATED", "PERMISSION_DENIED"}


async def test_health_is_open(channel: grpc.aio.Channel) -> None:
    for name, streams in (("Check", False), ("Watch", True)):
        rpc = Rpc("grpc.health.v1.Health", name, False, streams)
        for metadata in ([], [("authorization", "Bearer nonsense")]):
            assert await send(channel, rpc, b"", metadata) is None


async def test_two_tokens_are_none(world: World, channel: grpc.aio.Channel) -> None:
    rpc = Rpc("vwed.v1.RecordService", "GetTaskRecord", False, False)
    refused = await send(channel, rpc, request(rpc), of_tenant(*[bearer(token())] * 2))
    assert refused
    assert refused.reason == "TOKEN_INVALID"


@pytest.fixture
async def as_robot(guarded: str, world: World) -> AsyncIterator[Client]:
    async with connect(guarded, tenant=TENANT, actor="chen", bare=True) as client:
        yield client


@pytest.mark.parametrize(
    ("given", "kept"),
    [(("records:report",), "wms"), (("records:report", "actor:set"), "chen")],
)
async def test_the_subject_acts(
    as_robot: Client, target: str, given: tuple[str, ...], kept: str
) -> None:
    report = ReportBlockRequest(task_record_id=RUN, block_record=A_BLOCK)
    report.block_record.message = f"by {kept}"
    await as_robot.records.ReportBlock(report, metadata=[bearer(token(*given))])
    async with connect(target, tenant=TENANT, bare=True) as client:
        history = await client.records.ListTaskRecordEvents(
            ListTaskRecordEventsRequest(task_record_id=RUN)
        )
    assert history.events[-1].actor == kept


async def _end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def forever(request: Any) -> AsyncIterator[Any]:
    yield request
    await asyncio.Event().wait()


@pytest.mark.parametrize("what", ["watch", "watch of many", "reports", "claim"])
async def test_a_call_that_lasts_ends_with_its_token(as_robot: Client, what: str) -> None:
    lasting: dict[str, tuple[Any, Any]] = {
        "watch": (as_robot.records.WatchTaskRecord, WatchTaskRecordRequest(task_record_id=RUN)),
        "watch of many": (as_robot.records.WatchTaskRecords, WatchTaskRecordsRequest()),
        "reports": (
            as_robot.records.StreamBlockReports,
            forever(
                StreamBlockReportsRequest(task_record_id=RUN, block_records=[A_BLOCK], batch_id="1")
            ),
        ),
        "claim": (
            as_robot.records.ClaimTaskRecords,
            ClaimTaskRecordsRequest(executor_id="r", wait=Duration(seconds=30)),
        ),
    }
    method, sent = lasting[what]
    call = method(sent, metadata=[bearer(token(lives=1.5 - LEEWAY_SECONDS))], timeout=25)
    if what != "claim":
        assert await call.read(), "it was let in at first"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call if what == "claim" else _end(call))
    assert (raised.value.code(), raised.value.details()) == (
        StatusCode.UNAUTHENTICATED,
        "the token has expired",
    )


async def test_a_client_that_renews_its_token_watches_on(guarded: str, world: World) -> None:
    given = list[str]()

    def renew() -> str:
        given.append(token(lives=1.0 - LEEWAY_SECONDS))
        return given[-1]

    async def watch() -> None:
        async with connect(guarded, tenant=TENANT, token=renew, bare=True) as client:
            async for _ in watch_run(client, RUN, after_seq=0):
                pass

    watching = asyncio.create_task(watch())
    await until_true(lambda: len(given) > 2 or watching.done(), what="a third token")
    assert not watching.done()
    watching.cancel()
    async with connect(guarded, tenant=TENANT, token=given[0], bare=True) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="the token has expired"):
            await anext(watch_run(client, RUN, after_seq=0))


async def test_renewed_keys_are_taken(settings: Settings, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys.json", "HS256")
    async with (
        serving(settings.model_copy(update={"token_keys": keys})) as port,
        connect(f"127.0.0.1:{port}", tenant=TENANT, bare=True) as client,
    ):

        async def code(algorithm: str) -> StatusCode:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await client.records.GetTaskRecord(
                    GetTaskRecordRequest(id="none"),
                    metadata=[bearer(token(algorithm=algorithm))],
                )
            return raised.value.code()

        assert await code("HS256") is StatusCode.NOT_FOUND
        assert await code("EdDSA") is StatusCode.UNAUTHENTICATED
        keys.write_text("{")  # half-written: the old ones stay
        write_keys(keys, "EdDSA")

        async def renewed() -> bool:
            return await code("EdDSA") is StatusCode.NOT_FOUND

        await until_true(renewed, what="the new key", every=0.2)
        assert await code("HS256") is StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("introspection", "expected"),
    [
        ("off", {StatusCode.UNIMPLEMENTED}),
        ("scope", {StatusCode.UNAUTHENTICATED}),
        ("open", {StatusCode.OK, StatusCode.NOT_FOUND}),
    ],
)
async def test_introspection_is_for_whom_it_is_said(
    settings: Settings,
    keys: Path,
    found: list[Rpc],
    introspection: str,
    expected: set[StatusCode],
) -> None:
    own = settings.model_copy(update={"token_keys": keys, "introspection": introspection})
    standard = [rpc for rpc in found if not rpc.ours and "health" not in rpc.service]
    assert len(standard) == 9
    async with serving(own) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        sends = introspection == "open"
        assert {await _code(channel, rpc, sends=sends) for rpc in standard} == expected


async def _code(channel: grpc.aio.Channel, rpc: Rpc, *, sends: bool = True) -> StatusCode:
    # What a stream still sends when it is refused already, gRPC's own client ends with INTERNAL.
    call: Any = rpc.open(channel, b"" if sends or not rpc.streams_in else None, [])
    if rpc.streams_out:
        with suppress(grpc.aio.AioRpcError):
            await _end(call)
    return await call.code()  # type: ignore[no-any-return]  # gRPC has no types for it


def test_an_rpc_without_a_scope_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(scopes._BY_RPC, "GetTaskRecord")
    with pytest.raises(LookupError, match=r"vwed\.v1\.RecordService\.GetTaskRecord"):
        Handlers({"vwed.v1.RecordService": []}, Edge(Limits()))


def test_every_rpc_of_the_table_exists() -> None:
    assert set(METHODS) == set(scopes._BY_RPC)
    assert len(METHODS) == sum(map(len, scopes._OF_RPCS.values()))
    named = {scope for each in scopes._OF_RPCS for scope in each}
    assert named < set(ALL_SCOPES)
