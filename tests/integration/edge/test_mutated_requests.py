"""Mutated requests over all RPCs and metadata: each is answered, by no fault of ours.

The long form (`-m torture`) sends 120,000 to a process of its own, which must not grow.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path
from random import Random

import grpc
import pytest

from tests.support.guarded import Rpc, request, rpcs, send
from tests.support.mutation import metadata, mutated
from tests.support.replicas import replica
from tests.support.tokens import PRIVATE, token, write_keys
from tests.support.world import OUR_FAULT, World
from vwed.client import connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

SEED = int(os.environ.get("VWED_SEED", "1"))
AT_ONCE = 64
FAULTS = OUR_FAULT - {"UNIMPLEMENTED"}
"""Health's List is not implemented, and says so."""
SECONDS = 20.0
"""After which a call is left: a few wait, as they were asked to."""
GROWTH = 64 << 20
"""Bytes that a process may grow by once it has seen a tenth of them."""


async def hunt(
    channel: grpc.aio.Channel, found: list[Rpc], tenant: str, count: int, seed: int
) -> Counter[str]:
    """How many were answered with each code. Fails if one was our fault."""
    random, good = Random(seed), token()
    bodies = {rpc: request(rpc) for rpc in found}
    others = [*bodies.values()]
    codes = Counter[str]()
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(rpc: Rpc, raw: bytes, sent: list[tuple[str, str]]) -> None:
        async with turn:
            try:
                refused = await send(channel, rpc, raw, sent, timeout=SECONDS)
            except TimeoutError:
                codes["LEFT"] += 1
                return
            except (AssertionError, ValueError) as failure:  # it broke a promise of every refusal
                raise AssertionError(f"{rpc.path} {raw!r} {sent}") from failure
        code = "OK" if refused is None else refused.code
        assert code not in FAULTS, f"{rpc.path} {raw!r} {sent}: {refused}"
        codes[code] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            rpc = found[number % len(found)]
            raw = mutated(random, bodies[rpc], others)
            group.create_task(one(rpc, raw, metadata(random, tenant, good)))
            if number % 500 == 0:
                await asyncio.sleep(0)
    return codes


async def filled(target: str, tenant: str, channel: grpc.aio.Channel) -> World:
    async with connect(target, tenant=tenant, token=token(), bare=True) as client:
        world = World(channel, client, tenant)
        await world.fill()
    return world


def assert_hunted(codes: Counter[str], count: int) -> None:
    """So much came through each gate that behind it something was hunted."""
    assert codes.total() == count
    assert codes["OK"] > count / 10
    assert codes["INVALID_ARGUMENT"] > count / 10
    assert codes["UNAUTHENTICATED"] > count / 50
    assert codes["PERMISSION_DENIED"] > count / 100


async def test_each_is_answered(settings: Settings, tenant: str, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys.json", *PRIVATE)
    async with serving(settings.model_copy(update={"token_keys": keys})) as port:
        target = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(target) as channel:
            await filled(target, tenant, channel)
            codes = await hunt(channel, await rpcs(channel), tenant, 2_000, SEED)
    assert_hunted(codes, 2_000)


@pytest.mark.torture
async def test_a_process_does_not_grow(
    database_url: str, redis_url: str, tenant: str, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys.json", *PRIVATE)
    options = ("--token-keys", str(keys))
    async with (
        replica(database_url, redis_url, tmp_path / "log", *options) as server,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        await filled(server.target, tenant, channel)
        found = await rpcs(channel)
        codes, sizes = Counter[str](), list[int]()
        for part in range(10):
            codes += await hunt(channel, found, tenant, 12_000, SEED + part)
            sizes.append(server.rss())
            print(f"{codes.total():,} sent, {sizes[-1] >> 20} MiB, {dict(codes)}")  # noqa: T201 - a torture tells how far it is
        assert not server.faults()
    assert_hunted(codes, 120_000)
    assert sizes[-1] - sizes[0] < GROWTH
