"""Places that tenants share: how many one may hold while others ask, and who is next.

A place is for a call that works, and it works for a short time. What may last is counted by
`rpc.waits`.
"""

import asyncio
import time
from collections import OrderedDict

from vwed_grpc.domain.errors import ResourceExhausted

RECENT_SECONDS = 5.0
"""A tenant that asked so lately is taken to ask again: its share is kept free for it."""
RETRY_SECONDS = 1.0
_SWEEP_SECONDS = 0.1


def too_many(reason: str, what: str, scope: str, limit: int) -> ResourceExhausted:
    """The refusal that names a limit; `scope` is tenant, connection or process."""
    return ResourceExhausted(
        reason,
        f"{what}: the limit of a {scope} is {limit:,}",
        metadata={"limit": str(limit), "scope": scope},
        retry_after=RETRY_SECONDS,
    )


class Places:
    """So many places, taken at once or after a wait in a queue that is bounded in length and time.

    A tenant holds at most half of them while others ask, all of them while nobody does. Tenants
    whose calls wait take turns; the calls of one are served in the order in which they came.
    """

    def __init__(
        self, limit: int, reason: str, what: str, *, queue: int = 0, patience: float = 0.0
    ) -> None:
        """`queue` calls may wait, for `patience` seconds; a tenant has half of the queue."""
        self.limit = limit
        self._half = max(1, limit // 2)
        self._reason = reason
        self._what = what
        self._queue = queue
        self._patience = patience
        self._taken = 0
        self._held: dict[str, int] = {}
        self._waiting: OrderedDict[str, dict[asyncio.Future[None], float]] = OrderedDict()
        """By tenant: the calls that wait, and until when."""
        self.queued = 0
        """How many calls wait."""
        self._sweeping = False
        self._asked: set[str] = set()
        self._asked_before: set[str] = set()
        self._period_ends = 0.0

    @property
    def is_used(self) -> bool:
        """Whether any place is taken."""
        return self._taken > 0

    def share(self, tenant: str) -> int:
        """How many places the tenant may hold now."""
        now, before = self._asked, self._asked_before
        others = len(now) - (tenant in now) + len(before) - (tenant in before)
        return self._half if others else self.limit

    def try_enter(self, tenant: str, size: int = 1) -> bool:
        """Takes `size` places if they are free and within the tenant's share."""
        now = time.monotonic()
        if now >= self._period_ends:
            self._begin_period(now)
        self._asked.add(tenant)
        taken = self._taken + size
        held = self._held.get(tenant, 0) + size
        # Within the first half nobody has more than a half.
        if taken > self._half and (taken > self.limit or held > self.share(tenant)):
            return False
        self._taken = taken
        self._held[tenant] = held
        return True

    async def enter(self, tenant: str) -> None:
        """Takes a place, after a wait if need be. Raises ResourceExhausted."""
        if self.try_enter(tenant):
            return
        mine = self._waiting.get(tenant)
        if self.queued >= self._queue or (mine and len(mine) >= max(1, self._queue // 2)):
            raise self.refusal(tenant)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        if mine is None:
            mine = self._waiting[tenant] = {}
        mine[turn] = loop.time() + self._patience
        self.queued += 1
        self._keep_sweeping(loop)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(tenant, turn)
            elif turn.exception() is None:
                self.leave(tenant)
            raise

    def leave(self, tenant: str, size: int = 1) -> None:
        """Gives places back: to whoever waits for one."""
        self._taken -= size
        if held := self._held[tenant] - size:
            self._held[tenant] = held
        else:
            del self._held[tenant]
        if self.queued:
            self._serve()

    def refusal(self, tenant: str) -> ResourceExhausted:
        """What a tenant is told that got no place."""
        share = self.share(tenant)
        scope = "tenant" if share < self.limit else "process"
        return too_many(self._reason, self._what, scope, share)

    def _begin_period(self, now: float) -> None:
        late = now >= self._period_ends + RECENT_SECONDS
        self._asked_before = set() if late else self._asked
        self._asked = set(self._waiting)
        self._period_ends = now + RECENT_SECONDS

    def _serve(self) -> None:
        """Gives what is free to the tenants that wait, in turns."""
        passed_over = 0
        while self.queued and self._taken < self.limit and passed_over < len(self._waiting):
            tenant, turns = next(iter(self._waiting.items()))
            turn = next(iter(turns))
            if turn.done():  # its caller has just left
                self._forget(tenant, turn)
            elif self.try_enter(tenant):
                passed_over = 0
                self._waiting.move_to_end(tenant)
                self._forget(tenant, turn)
                turn.set_result(None)
            else:
                passed_over += 1
                self._waiting.move_to_end(tenant)

    def _forget(self, tenant: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(tenant)
        if turns is not None and turns.pop(turn, None) is not None:
            self.queued -= 1
            if not turns:
                del self._waiting[tenant]

    def _keep_sweeping(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all who wait: a timer for each costs a call more than its place does."""
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for tenant, turns in list(self._waiting.items()):
            for turn in [turn for turn, until in turns.items() if until <= now]:
                self._forget(tenant, turn)
                if not turn.done():
                    turn.set_exception(self.refusal(tenant))
        self._serve()
        self._sweeping = False
        if self.queued:
            self._keep_sweeping(loop)
