"""Every case of the bench by its group, in the order in which they run."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
from sqlalchemy.exc import DBAPIError

from bench import reads, seed, watches, workers, writes
from bench.client.cases import client
from bench.crowd.case import crowd, prepare
from bench.crowd.tenants import A, B
from bench.executor.cases import executor
from bench.measure import Result
from bench.security import security
from bench.sight.cases import sight
from bench.stand import Stand
from bench.starvation.cases import starvation
from vwed.client import connect
from vwed_grpc.storage.database import sync_engine

Cases = Callable[[], Iterator[Result]]
GROUPS = (
    *("gets", "sight", "security", "client", "watches", "writes", "executor"),
    *("workers", "lists"),
    *("starvation", "crowd"),
)


@dataclass(frozen=True)
class Effort:
    """How much of each case there is to be."""

    rounds: int = 3
    seconds: float = 3.0
    """Of each load in a round."""
    crowd_seconds: float = 15.0
    runs: int = 1_000_000
    """That lists have to page."""


def whatever_comes(name: str, run: Cases) -> Iterator[Result]:
    """The results; a failure is one too, and ends its group, not the bench."""
    try:
        yield from run()
    except (RuntimeError, OSError, LookupError, grpc.RpcError, DBAPIError) as failure:
        traceback.print_exc()
        yield Result(name, "", "", met=False, note=f"failed: {type(failure).__name__}")


async def cases(s: Stand, effort: Effort) -> dict[str, Cases]:
    """By group. Each may run several times."""
    rounds, seconds = effort.rounds, effort.seconds
    async with connect(s.server.target, bare=True) as bare:
        seeded = seed.Seed(bare)
        await seeded.basics()
        runs = await seeded.runs("bench", 200)
    watched = seed.more_runs(s.server.target, "watched")
    await prepare(s.server.target, A, B)
    engine = sync_engine(s.stores.database_url)

    def lists() -> Iterator[Result]:
        seed.fill_finished(engine, seed.MILLION, effort.runs)
        yield from reads.lists(s, rounds, seconds)

    def writing() -> Iterator[Result]:
        yield writes.sets(s, runs, rounds, seconds)
        yield writes.reports(s, runs, rounds, seconds)
        yield writes.streams(s, runs[:8], rounds, seconds)
        yield writes.claims(s, engine, rounds, seconds)

    def watching() -> Iterator[Result]:
        yield watches.latency(s, watched, 1, rounds, seconds)
        yield watches.latency(s, watched, 100, rounds, seconds)
        yield watches.fan_out(s, watched, 1, rounds, seconds)
        yield watches.fan_out(s, watched, 50, rounds, seconds)

    def working() -> Iterator[Result]:
        yield from workers.two_workers(s, rounds, seconds)

    return {
        "gets": lambda: reads.gets(s, rounds, seconds),
        "sight": lambda: sight(s, rounds, seconds),
        "security": lambda: security(s, rounds, seconds),
        "client": lambda: client(s, rounds, seconds),
        # Before the writes: a disk that still has those to do makes every commit wait.
        "watches": watching,
        "writes": writing,
        "executor": lambda: executor(s, rounds, seconds),
        "workers": working,
        "lists": lists,
        "starvation": lambda: starvation(s, engine, rounds),
        "crowd": lambda: crowd(s, engine, rounds, effort.crowd_seconds),
    }
