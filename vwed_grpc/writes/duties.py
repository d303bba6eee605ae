"""How work is done that nobody calls for: which work that is stands in `expiry` and `retention`.

Any replica can do it and, by an advisory lock within each transaction, one at a time does. The lock
lives and dies with its transaction, so a replica that is frozen or killed holds nobody up.

No failure ends a duty, and none is passed over in silence: see `condition`. Tenants are served side
by side, and those whose last turn failed have one place between them, so one tenant's trouble
delays nobody else's work. What can wait, however much there is, keeps nothing waiting that is
urgent: all of it has one connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
import structlog

from vwed_grpc.batching import in_parts
from vwed_grpc.domain.errors import Busy, Unavailable
from vwed_grpc.storage import due
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.condition import Condition

log = structlog.get_logger("vwed.duties")

T = TypeVar("T")

TENANTS_AT_ONCE = 3
"""How many tenants a duty serves side by side."""
RETRY_SECONDS = 2.0
"""How soon a duty that failed looks again, unless its interval is shorter."""


@dataclass(frozen=True)
class Duty:
    """A kind of work, and which tenants have some of it."""

    name: str
    every: float
    """Seconds between looks."""
    tenants: sa.Executable
    """Answers the tenants that have work which is due."""
    work: Callable[["Turn"], Awaitable[None]]
    """Does what is due of one tenant, a batch in a transaction."""
    urgent: bool = False
    """It must be done within seconds, so it waits for no other duty."""


class Turn:
    """A duty's work for one tenant."""

    def __init__(
        self,
        duty: Duty,
        tenant: str,
        *,
        pool: Pool,
        committer: Committer,
        condition: Condition,
        line: AbstractAsyncContextManager[None],
    ) -> None:
        """`line` is where its transactions wait for those of other duties."""
        self.tenant = tenant
        self.pool = pool
        self._duty = duty
        self._committer = committer
        self._condition = condition
        self._line = line

    async def run(self, work: Callable[[Transaction, Effects], Awaitable[T]]) -> T | None:
        """One transaction; None if another replica is at this duty of this tenant."""

        async def alone(tx: Transaction, effects: Effects) -> T | None:
            if not await due.mine(tx, self._duty.name, self.tenant):
                return None
            return await work(tx, effects)

        async with self._line:
            done = await self._committer.run(self.pool, alone)
        self._condition.went_well()
        return done

    async def each(
        self,
        rows: Sequence[str],
        work: Callable[[Transaction, Effects, Sequence[str]], Awaitable[None]],
    ) -> None:
        """Does `work` for the rows with these ids; one that fails, whatever for, fails alone.

        Raises Unavailable, Busy.
        """

        async def together(part: Sequence[str]) -> list[None]:
            await self.run(lambda tx, effects: work(tx, effects, part))
            return [None] * len(part)

        for row, failure in zip(rows, await in_parts(together, rows), strict=True):
            if isinstance(failure, Unavailable | Busy):
                raise failure
            if failure is not None and self._condition.row_failed(self.tenant, row):
                log.error(
                    "a row failed",
                    duty=self._duty.name,
                    tenant=self.tenant,
                    row=row,
                    exc_info=failure,
                )


class Duties:
    """Runs every duty at its interval until cancelled."""

    def __init__(self, pool: Pool, committer: Committer, duties: Sequence[Duty]) -> None:
        line = asyncio.Lock()
        self._followers = [
            _Follower(duty, pool, committer, nullcontext() if duty.urgent else line)
            for duty in duties
        ]

    @property
    def conditions(self) -> dict[str, Condition]:
        """How each duty fares, by name."""
        return {one.duty.name: one.condition for one in self._followers}

    def problem(self, names: Sequence[str], seconds: float) -> str | None:
        """Which of these duties have been failing for longer than that, for people; None: none."""
        conditions = self.conditions
        failing = [name for name in names if conditions[name].failing_seconds > seconds]
        return f"failing: {', '.join(failing)}" if failing else None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                tasks.create_task(follower.run())


class _Follower:
    """Looks for a duty's work, and gives each tenant that has some its turn."""

    def __init__(
        self,
        duty: Duty,
        pool: Pool,
        committer: Committer,
        line: AbstractAsyncContextManager[None],
    ) -> None:
        self.duty = duty
        self.condition = Condition()
        self._pool = pool
        self._committer = committer
        self._line = line
        self._at_work: set[str] = set()
        self._waiting: set[str] = set()
        """Those whose turn has come, but who have no place yet."""
        self._troubled: set[str] = set()
        """Tenants whose last turn failed."""
        self._last_success = 0.0
        """As it was when this looked last."""
        self._failure = asyncio.Event()
        """Something failed since this looked last, maybe in a turn that goes on since."""
        self._places = asyncio.Semaphore(TENANTS_AT_ONCE)
        self._troubled_place = asyncio.Semaphore(1)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as turns:
            while True:
                self._failure.clear()
                await self._look(turns)
                if self.condition.is_failing:
                    self._failure.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.duty.every):
                        await self._failure.wait()
                        await asyncio.sleep(RETRY_SECONDS)

    async def _look(self, turns: asyncio.TaskGroup) -> None:
        before, self._last_success = self._last_success, self.condition.last_success
        if self._waiting - self._troubled and self._last_success == before:
            self.condition.lags()
        try:
            found = await self._pool.select(self.duty.tenants)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the duty goes on
            self._failed(exc)
            return
        if not found:
            self.condition.went_well()
        for tenant in {row.tenant for row in found} - self._at_work:
            self._at_work.add(tenant)
            turns.create_task(self._serve(tenant))

    async def _serve(self, tenant: str) -> None:
        turn = Turn(
            self.duty,
            tenant,
            pool=self._pool,
            committer=self._committer,
            line=self._line,
            condition=self.condition,
        )
        place = self._troubled_place if tenant in self._troubled else self._places
        self._waiting.add(tenant)
        try:
            async with place:
                self._waiting.discard(tenant)
                await self.duty.work(turn)
        except (Unavailable, Busy) as away:
            self._failed(away)
        except Exception:
            self._troubled.add(tenant)
            if self.condition.row_failed(tenant):
                log.exception("a tenant's turn failed", duty=self.duty.name, tenant=tenant)
        else:
            self._troubled.discard(tenant)
        finally:
            self._at_work.discard(tenant)
            self._waiting.discard(tenant)

    def _failed(self, why: Exception) -> None:
        if not self.condition.is_failing:  # an outage is one piece of news, however long it lasts
            log.warning("duty failed", duty=self.duty.name, error=repr(why))
        self.condition.failed()
        self._failure.set()
