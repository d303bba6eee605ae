"""The standard health service: "" says that the process lives.

A service is SERVING while the store answers and what the service promises beside its calls is done.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]  # has no types
    HealthCheckRequest,
    HealthCheckResponse,
)

from vwed_grpc.domain.errors import NotFound, VwedError
from vwed_grpc.rpc.call import Call

_STATUS = {True: HealthCheckResponse.SERVING, False: HealthCheckResponse.NOT_SERVING}

log = structlog.get_logger()


class Health:
    """The servicer, which is up to date while `follow` runs."""

    def __init__(
        self,
        services: Mapping[str, Callable[[], str | None]],
        probe: Callable[[], Awaitable[None]],
        *,
        interval: float = 1.0,
    ) -> None:
        """`probe` raises while the store is away; it is asked, and given, `interval` seconds.

        Of each service it is asked what else is wrong with it; None: nothing.
        """
        self._services = services
        self._probe = probe
        self._interval = interval
        self._serving = {"": True}
        self._changed = asyncio.Event()
        """Set, and replaced, whenever a status changes."""
        self.problems: dict[str, str] = dict.fromkeys(services, "starting")
        """What keeps services from serving, for people; empty: all of them serve."""
        self.on_change: Callable[[Mapping[str, str]], None] = lambda _: None
        """Told the problems whenever a service begins or ends to serve."""

    async def Check(self, request: HealthCheckRequest, call: Call) -> HealthCheckResponse:  # noqa: N802 - the RPC's name
        """Raises NotFound."""
        del call
        serving = self._serving.get(request.service)
        if serving is None:
            raise NotFound("UNKNOWN_SERVICE", f"there is no service {request.service!r}")
        return HealthCheckResponse(status=_STATUS[serving])

    async def Watch(  # noqa: N802 - the RPC's name
        self, request: HealthCheckRequest, call: Call
    ) -> AsyncIterator[HealthCheckResponse]:
        """The present status, then each change; an unknown service may come to be known."""
        del call
        said: bool | None = None
        first = True
        while True:
            changed = self._changed
            serving = self._serving.get(request.service)
            if first or serving is not said:
                status = (
                    HealthCheckResponse.SERVICE_UNKNOWN if serving is None else _STATUS[serving]
                )
                yield HealthCheckResponse(status=status)
                first, said = False, serving
            await changed.wait()

    async def follow(self) -> None:
        """Probes until cancelled; before and from then on the services are NOT_SERVING."""
        for service in self._services:
            self._set(service, serving=False)
        try:
            while True:
                away = await self._store_problem()
                for service, ask in self._services.items():
                    self._tell(service, away or ask())
                await asyncio.sleep(self._interval)
        finally:
            self.problems.update(dict.fromkeys(self._services, "stopping"))
            self.on_change(self.problems)
            for service in self._services:
                self._set(service, serving=False)

    async def _store_problem(self) -> str | None:
        """For everybody who may look at health; what the driver said is for the log alone."""
        try:
            async with asyncio.timeout(self._interval):
                await self._probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, the store cannot be used
            problem = _public(error)
            if problem not in self.problems.values():
                log.warning("the store cannot be used", why=repr(error.__cause__ or error))
            return problem
        return None

    def _tell(self, service: str, problem: str | None) -> None:
        serving = problem is None
        if problem is None:
            self.problems.pop(service, None)
        else:
            self.problems[service] = problem
        if serving is not self._serving[service]:
            if serving:
                log.info("serving", service=service)
            else:
                log.warning("not serving", service=service, why=problem)
            self._set(service, serving=serving)
            self.on_change(self.problems)

    def _set(self, service: str, *, serving: bool) -> None:
        self._serving[service] = serving
        self._changed.set()
        self._changed = asyncio.Event()


def _public(error: Exception) -> str:
    if isinstance(error, VwedError):  # as callers are told
        return error.message
    if isinstance(error, TimeoutError):
        return "the store does not answer"
    return "the store cannot be used"
