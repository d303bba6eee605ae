from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vwed.client.connection import Client
from vwed.client.executor.clock import ServiceClock
from vwed.client.executor.definitions import Definitions
from vwed.client.executor.persistent_calls import PersistentCalls


@dataclass(frozen=True, slots=True)
class ProcessParts:
    """What the runs of one process have in common."""

    client: Client
    calls: PersistentCalls
    clock: ServiceClock
    definitions: Definitions
    lease: float
    """Seconds, of each run."""
    claims_settled: Callable[[], Awaitable[None]]
    """Returns when no claim of this process waits for an answer."""
