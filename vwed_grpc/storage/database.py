"""All that the service asks of PostgreSQL goes through here: a pool for each purpose.

So none waits for the work of another. Who asks says for what it is.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.hosts import libpq, parsed
from vwed_grpc.storage.pool import Pool, ReadingPool


class Database:
    """The pools of one process.

    - urgent: reports, heartbeats, finishes.
    - live: the other transitions, claims, entries of data caches; reads by key; what watchers that
      have caught up are told.
    - bulk: lists, histories, batch gets, definitions' writes, exports, imports; watchers that
      catch up.
    - figures: summaries, totals, prune.
    - duties: what nobody calls for.
    - probe: whether the store can be read and written at all.
    """

    def __init__(self, url: str, *, connections: int, statement_timeout: float) -> None:
        """`connections` are the most of all purposes together; at least 8: one of each kind."""
        connector = Connector(url)
        self.incarnation = connector.incarnation

        def share(eighteenths: int) -> int:
            return max(1, connections * eighteenths // 18)

        def pool(purpose: str, connections: int) -> Pool:
            return Pool(
                connector,
                connections=connections,
                purpose=purpose,
                statement_timeout=statement_timeout,
            )

        def reading_pool(purpose: str, connections: int, reads: int) -> ReadingPool:
            return ReadingPool(
                connector,
                connections=connections,
                reads=reads,
                purpose=purpose,
                statement_timeout=statement_timeout,
            )

        others = 4 * share(2) + 2 * share(3) + 1
        self.urgent = pool("urgent", share(3))
        self.live = reading_pool("live", max(1, connections - others), share(2))
        self.bulk = reading_pool("bulk", share(2), share(2))
        self.figures = pool("figures", share(2))
        self.duties = pool("duties", share(3))
        self.probe = pool("probe", 1)

    @property
    def pools(self) -> Sequence[Pool]:
        """All of them, however different what they are for."""
        return (self.urgent, self.live, self.bulk, self.figures, self.duties, self.probe)

    async def answer(self) -> None:
        """Raises what callers would be told while it is away."""
        await self.probe.select(sa.select(sa.literal(1)))

    async def close(self) -> None:
        """Closes all connections, which nobody may use any more."""
        await asyncio.gather(*(pool.close() for pool in self.pools))


def plain_reason(exc: DBAPIError) -> str:
    """What PostgreSQL or its driver said, in one line for operators; no password is in it."""
    diagnosis = getattr(exc.orig, "diag", None)  # psycopg's: its text has parts of the statement
    return " ".join(str((diagnosis and diagnosis.message_primary) or exc.orig).split())


def sync_engine(url: str) -> sa.Engine:
    """The same database for migrations and scripts, without an event loop (psycopg)."""
    given = libpq(parsed(url)).set(drivername="postgresql+psycopg")
    # Of several hosts the one that takes writes, as the service's pools do.
    options: dict[str, Any] = {"target_session_attrs": "read-write"}
    if "connect_timeout" not in given.query:
        # Left alone, a host that swallows packets is waited for over two minutes.
        options["connect_timeout"] = 5
    return sa.create_engine(given, connect_args=options)
