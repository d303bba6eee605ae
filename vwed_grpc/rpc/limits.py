"""How many calls are open at once, and how each of them is ended from outside."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from vwed_grpc.domain.errors import ResourceExhausted


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call that a servicer's method works on."""

    task: asyncio.Task[Any]
    ended: bool = False
    """The server wants it gone."""

    def end(self) -> None:
        """Ends the call where it waits; a message on its way out still arrives first."""
        self.ended = True
        self.task.cancel()


@dataclass(slots=True)
class CallLimit:
    """The open calls of one kind, and how many there may be."""

    limit: int
    reason: str
    calls: set[OpenCall] = field(default_factory=set)

    def enter(self) -> OpenCall:
        """Lets the running task in, which leaves by `calls.discard`.

        Raises ResourceExhausted, with the limit's reason.
        """
        if len(self.calls) >= self.limit:
            raise ResourceExhausted(
                self.reason, f"{self.limit:,} are open, and no more may be", retry_after=1.0
            )
        task = asyncio.current_task()
        opened = OpenCall(task)  # type: ignore[arg-type]  # gRPC runs every call in a task
        self.calls.add(opened)
        return opened
