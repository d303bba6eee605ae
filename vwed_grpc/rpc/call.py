"""Who calls, and how: what the metadata of a call says."""

import asyncio
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.ids import ID, ID_DEMAND, new_id
from vwed_grpc.rpc.standing import Standing

TENANT = "x-vwed-tenant"
ACTOR = "x-vwed-actor"
ACTOR_BIN = "x-vwed-actor-bin"
REQUEST_ID = "x-request-id"
CONSISTENCY = "x-vwed-consistency"

_RULES = {
    TENANT: (ID, ID_DEMAND),
    ACTOR: (re.compile(r"[\x20-\x7e]{0,128}"), "must be at most 128 printable ASCII characters"),
    ACTOR_BIN: (
        # Format characters stay: Persian and Indic names are written with joiners. What is not
        # UTF-8 has become surrogates.
        re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,128}"),
        "must be UTF-8, at most 128 characters, without control characters and line separators",
    ),
    CONSISTENCY: (re.compile(r"strong"), 'must be "strong" or absent'),
}
_REQUEST_ID_FORM = re.compile(r"[\x20-\x7e]{1,128}")


@dataclass(slots=True)
class Call:
    """One call, as every servicer method gets it beside its request."""

    tenant: str
    actor: str
    request_id: str
    strong: bool
    """Read PostgreSQL, never the cache."""
    deadline: float | None
    """When the caller stops waiting, in the running loop's time."""
    named: dict[str, None] | None = None
    """The ids that its line in the audit has; None: it has none."""
    lags: Callable[[], bool] = field(default=lambda: True, repr=False)
    """Of a watch: whether it has yet to catch up."""
    standing: Standing = field(init=False, repr=False)
    """What the call holds of the server's limits; the edge sets it."""

    def remaining(self) -> float | None:
        """Seconds that the caller still waits, never below 0; None: for ever."""
        if self.deadline is None:
            return None
        return max(self.deadline - asyncio.get_running_loop().time(), 0.0)

    def can_wait(self) -> bool:
        """Whether its work leaves the event loop to others: that of a watch until it caught up."""
        return self.lags()

    def waiting(self) -> AbstractAsyncContextManager[None]:
        """For a unary call that only waits meanwhile, and so takes nobody's place."""
        return self.standing.waiting()

    async def go_on_among_figures(self) -> None:
        """For the rest of a call that comes to count. Raises ResourceExhausted."""
        await self.standing.go_on_among_figures()

    def working(self) -> AbstractAsyncContextManager[None]:
        """For a stream that works meanwhile, in a place of its class."""
        return self.standing.working()


def is_actor(name: object) -> bool:
    """Whether somebody may be called so."""
    return isinstance(name, str) and _RULES[ACTOR_BIN][0].fullmatch(name) is not None


def open_call(
    metadata: Iterable[tuple[str, str | bytes]], remaining: float | None
) -> tuple[Call, list[Violation]]:
    """The call, and what is wrong with its metadata, each named by its key.

    A call that is wrong has a request id too, because its error bears one. An `x-request-id` that
    cannot be taken is replaced, not refused: it serves the caller alone.
    """
    sent: dict[str, str] = {}
    problems: list[Violation] = []
    for key, value in metadata:
        if key == REQUEST_ID:
            if _REQUEST_ID_FORM.fullmatch(str(value)):
                sent.setdefault(key, str(value))
        elif key in _RULES:
            form, demand = _RULES[key]
            text = value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
            if key in sent:
                problems.append(Violation(key, "must be given once"))
            elif not form.fullmatch(text):
                problems.append(Violation(key, demand))
            sent[key] = text
    call = Call(
        tenant=sent.get(TENANT, "default"),
        actor=sent.get(ACTOR_BIN, sent.get(ACTOR, "")),
        request_id=sent.get(REQUEST_ID) or new_id(),
        strong=CONSISTENCY in sent,
        deadline=None if remaining is None else asyncio.get_running_loop().time() + remaining,
    )
    return call, problems
