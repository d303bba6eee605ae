"""Which errors callers may meet, by what happens to the service; each other one is a failure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import grpc

from vwed.client import error_info

CONNECTION = "(the connection)"
OWN_CLOCK = "(the caller's clock)"
"""What an error has instead of a reason that the service did not say itself."""
AFTERMATH = 10.0
"""Seconds after what happened in which calls may still end that it hit: 6 of a call, and what a
worker takes to come back."""

EVER = {
    *(f"FAILED_PRECONDITION {reason}" for reason in ("ILLEGAL_TRANSITION", "RUN_IS_FINAL")),
    *(f"FAILED_PRECONDITION {reason}" for reason in ("RUN_NOT_REPORTABLE", "BLOCK_IS_FINAL")),
    *(f"FAILED_PRECONDITION {reason}" for reason in ("LEASE_LOST", "RUN_TAKEN", "RETRY_OPEN")),
    "ABORTED CONFLICT",
}
"""What operators and executors who meet at one run tell each other, so to say."""

_CUT_OFF = {
    f"UNAVAILABLE {CONNECTION}",
    *(f"{code} {CONNECTION}" for code in ("CANCELLED", "INTERNAL", "UNKNOWN")),
}
_WITHOUT_POSTGRES = {
    *(f"UNAVAILABLE {reason}" for reason in ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")),
    *(f"RESOURCE_EXHAUSTED {kind}_CONNECTIONS" for kind in ("URGENT", "LIVE", "BULK", "FIGURES")),
    *(f"DEADLINE_EXCEEDED {whose}" for whose in ("DEADLINE_EXCEEDED", OWN_CLOCK)),
}
MAY_CAUSE: dict[str, set[str]] = {
    "stop_redis": set(),
    "freeze_postgres": _WITHOUT_POSTGRES,
    "terminate_backends": _WITHOUT_POSTGRES,
    "cut_clients": _CUT_OFF,
    "kill_worker": _CUT_OFF,
    "kill_executors": set(),
    "freeze_executors": set(),
    "restart_crowd": set(),
}


@dataclass(frozen=True, slots=True)
class Met:
    """An error: `at` seconds since 1970 a caller of `where` was told it.

    It says its code and reason; the code alone is what a server's page counts.
    """

    at: float
    where: str
    said: str


@dataclass(frozen=True, slots=True)
class Befallen:
    """What happened to the service, from when to when, in seconds since 1970."""

    fault: str
    began: float
    ended: float


def said(exc: grpc.aio.AioRpcError) -> str:
    """Code and reason."""
    code, info = exc.code(), error_info(exc)
    if info is not None:
        return f"{code.name} {info.reason}"
    own = code is grpc.StatusCode.DEADLINE_EXCEEDED
    return f"{code.name} {OWN_CLOCK if own else CONNECTION}"


def unexpected(met: Iterable[Met], befallen: Sequence[Befallen]) -> Iterator[str]:
    """Those that nothing that had happened explains."""
    for error in met:
        causes = [MAY_CAUSE[one.fault] for one in befallen if _hit(one, error)]
        may = EVER.union(*causes)
        if error.said not in may | {each.partition(" ")[0] for each in may}:
            yield f"{error.where}: {error.said} at {error.at:.1f}"


def table(met: Sequence[Met], befallen: Sequence[Befallen]) -> str:
    """What was told to callers whenever something had happened, as Markdown."""
    lines = ["| what happened | times | what callers were told |", "| --- | ---: | --- |"]
    for fault, times in Counter(one.fault for one in befallen).most_common():
        told = Counter(
            error.said
            for error in met
            if error.said in MAY_CAUSE[fault] - EVER
            and any(one.fault == fault and _hit(one, error) for one in befallen)
        )
        said = ", ".join(f"{count:,} {each}" for each, count in told.most_common()) or "nothing"
        lines.append(f"| {fault.replace('_', ' ')} | {times} | {said} |")
    return "\n".join(lines)


def _hit(one: Befallen, error: Met) -> bool:
    return one.began <= error.at <= one.ended + AFTERMATH
