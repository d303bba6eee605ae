"""`python -m bench.peers`: the same work by Prefect, by etcd and by us, one after the other."""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from bench import table
from bench.peers import etcd, ours, prefect
from bench.peers.debian_postgres import NotInstalledError, debian_postgres
from bench.process import LOAD_CORE, ROOT, end_with_sigterm
from bench.seed import Seed
from bench.stand import stand
from vwed.client import connect
from vwed_grpc.storage.database import sync_engine

RESULTS, PAGE = ROOT / "bench" / "peers.json", ROOT / "docs" / "performance.md"

_WORK = {
    "create": "create a run / task run, 16 callers",
    "set state": "set its state",
    "read": "read it",
    "put": "SetDataCache / put, 64 callers, durable",
    "range": "GetDataCache / range",
    "p50 ms, 1": "report / put to event, 1 watcher, p50 ms",
    "p99 ms, 1": "the same, p99 ms",
    "p50 ms, 100": "report / put to event, 100 watchers, p50 ms",
    "p99 ms, 100": "the same, p99 ms",
}


async def main() -> None:
    given = _arguments()
    os.sched_setaffinity(0, {LOAD_CORE})
    end_with_sigterm()
    missing: dict[str, str] = {}
    with TemporaryDirectory(prefix="vwed-bench-peers-") as name:
        room = Path(name)
        own, theirs = await _beside_prefect(room, given.seconds, missing)
        try:
            with etcd.etcd(room) as server:
                theirs["etcd"] = etcd.measure(server, given.seconds)
        except NotInstalledError as why:
            missing["etcd"] = str(why)
    text = _table(own, theirs, missing)
    print(text)
    RESULTS.write_text(
        json.dumps({"ours": own, "theirs": theirs, "missing": missing}, indent=2) + "\n"
    )
    if not given.dry:
        table.fill(PAGE, "peers", text)


async def _beside_prefect(
    room: Path, seconds: float, missing: dict[str, str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Ours and Prefect's, on the same PostgreSQL if there is one that has what Prefect needs."""
    try:
        with debian_postgres() as address:
            for database in ("prefect", "ours"):
                _create(address, database)
            theirs = {}
            try:
                with prefect.prefect(address, "prefect", room) as target:
                    theirs["Prefect"] = prefect.measure(target, seconds)
            except NotInstalledError as why:
                missing["Prefect"] = str(why)
            return await _ours(f"postgresql://postgres@{address}/ours", seconds), theirs
    except NotInstalledError as why:
        missing["Prefect"] = str(why)
        return await _ours(None, seconds), {}


async def _ours(database_url: str | None, seconds: float) -> dict[str, float]:
    async with stand(database_url) as s:
        async with connect(s.server.target, bare=True) as client:
            seeded = Seed(client)
            await seeded.basics()
            ids = await seeded.runs("bench", 200)
            watched = iter(await seeded.runs("watched", 2))
        return ours.runs(s, seconds) | ours.keys(s, ids, watched, seconds)


def _create(address: str, database: str) -> None:
    engine = sync_engine(f"postgresql://postgres@{address}/postgres")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {database}"))
    engine.dispose()


def _table(
    own: Mapping[str, float],
    theirs: Mapping[str, Mapping[str, float]],
    missing: Mapping[str, str],
) -> str:
    lines = ["| work | VWED | peer | | ratio |", "| --- | ---: | --- | ---: | ---: |"]
    for peer, figures in theirs.items():
        for name, figure in figures.items():
            form = ",.1f" if "ms" in name else ",.0f"
            ratio = own[name] / figure if figure else 0.0
            lines.append(
                f"| {_WORK[name]} | {own[name]:{form}} | {peer} | {figure:{form}} | {ratio:.2g} |"
            )
    lines += [f"\n{peer} was not measured. {why}" for peer, why in missing.items()]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--dry", action="store_true", help="leave docs/ alone")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
