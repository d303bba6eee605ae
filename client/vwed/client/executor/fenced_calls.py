"""Calls of the run's holder: under the present epoch, until the service has answered them."""

from typing import Protocol, TypeVar

from vwed.client.errors import FailedPrecondition, LeaseLost, NotFound
from vwed.client.executor.lease import Lease
from vwed.client.executor.persistent_calls import TRY_SECONDS, Answer, Method, PersistentCalls
from vwed.client.executor.retaking import Retaking
from vwed.client.executor.stopping import RunOver, StopReason


class Fenced(Protocol):
    """A request that says who makes it."""

    executor_id: str
    lease_epoch: int


Request = TypeVar("Request", bound=Fenced)
Response = TypeVar("Response")

_GONE = {"TASK_RECORD_NOT_FOUND", "TASK_RECORD_DELETED"}
_ENDS = {
    "TASK_RECORD_STATUS_SUCCEEDED": StopReason.ENDED,
    "TASK_RECORD_STATUS_FAILED": StopReason.ENDED,
    "TASK_RECORD_STATUS_CANCELED": StopReason.CANCELED,
}
"""What it comes to when a refusal names this as the run's status."""


class FencedCalls:
    """Every call that changes the run goes through here, so none is made under a lost lease."""

    def __init__(self, calls: PersistentCalls, lease: Lease, retaking: Retaking) -> None:
        self.lease = lease
        self.calls = calls
        self._retaking = retaking

    async def call(
        self, method: Method[Request, Response], request: Request, *, seconds: float = TRY_SECONDS
    ) -> Answer[Response]:
        """The answer to the holder's request, which it makes again after the run was retaken.

        Raises RunOver if the run is not this process's any more, and CallError for what the
        service has against the request itself.
        """
        while True:
            epoch = self.lease.epoch
            request.executor_id, request.lease_epoch = self.lease.executor_id, epoch
            try:
                return await self.calls.ask(method, request, seconds=seconds)
            except LeaseLost:
                self.lease.end()
                await self._retaking.retake(epoch)
            except NotFound as exc:
                if exc.reason in _GONE:
                    raise RunOver(StopReason.DELETED) from None
                raise
            except FailedPrecondition as exc:
                status = exc.metadata.get("status") or exc.metadata.get("from", "")
                if (end := _ENDS.get(status)) is not None:
                    raise RunOver(end) from None
                raise
