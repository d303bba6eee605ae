"""Calls that last: claims that wait, and streams. They are counted, and take no places."""

import asyncio
from typing import Any

from vwed_grpc.domain.errors import VwedError
from vwed_grpc.rpc.places import too_many


class OpenCall:
    """A call that the server works on, or that waits."""

    __slots__ = ("ended", "task", "tenant")

    def __init__(self, task: asyncio.Task[Any], tenant: str) -> None:
        self.task = task
        self.tenant = tenant
        self.ended: VwedError | None = None
        """Why the server wants it gone: what its caller is told."""

    def end(self, why: VwedError) -> None:
        """Ends the call where it waits; a message on its way out still arrives first."""
        if self.ended is None:
            self.ended = why
            self.task.cancel()


class Waits:
    """The calls of one kind that last, counted by connection, tenant and process.

    A tenant may have all of the process's limit while no other needs it. A tenant that has less
    than its half gets it: the newest calls of whoever has more are ended for it, with the refusal
    that they would have got.
    """

    def __init__(self, limit: int, of_connection: int, reason: str, what: str) -> None:
        self.limit = limit
        self.of_connection = of_connection
        self._reason = reason
        self._what = what
        self._calls: dict[OpenCall, str] = {}
        """Each with its connection."""
        self._of_tenant: dict[str, dict[OpenCall, None]] = {}
        self._of_connection: dict[str, int] = {}

    def enter(self, call: OpenCall, connection: str) -> None:
        """Counts the call until `leave`. Raises ResourceExhausted."""
        if self._of_connection.get(connection, 0) >= self.of_connection:
            raise too_many(self._reason, self._what, "connection", self.of_connection)
        if len(self._calls) >= self.limit:
            self._make_room(call.tenant)
        self._calls[call] = connection
        self._of_tenant.setdefault(call.tenant, {})[call] = None
        self._of_connection[connection] = self._of_connection.get(connection, 0) + 1

    def leave(self, call: OpenCall) -> None:
        """No matter whether it is still counted."""
        connection = self._calls.pop(call, None)
        if connection is None:
            return
        calls = self._of_tenant[call.tenant]
        del calls[call]
        if not calls:
            del self._of_tenant[call.tenant]
        self._of_connection[connection] -= 1
        if not self._of_connection[connection]:
            del self._of_connection[connection]

    def end_all(self, why: VwedError) -> None:
        for call in list(self._calls):
            call.end(why)

    def _make_room(self, tenant: str) -> None:
        half = max(1, self.limit // 2)
        if len(self._of_tenant.get(tenant, ())) >= half:
            raise too_many(self._reason, self._what, "tenant", half)
        largest = max(self._of_tenant, key=lambda name: len(self._of_tenant[name]))
        calls = self._of_tenant[largest]
        if len(calls) <= half:
            raise too_many(self._reason, self._what, "process", self.limit)
        newest = next(reversed(calls))
        self.leave(newest)
        newest.end(too_many(self._reason, self._what, "tenant", half))
