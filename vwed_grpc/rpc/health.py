"""The standard health service: "" says that the process lives.

A service is SERVING while the store answers and what the service promises beside its calls is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # has no types
from grpc_health.v1.health import aio  # type: ignore[import-untyped]  # has no types

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

log = structlog.get_logger()


class Health:
    """Holds the standard servicer and keeps it up to date while `follow` runs."""

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
        self.servicer = aio.HealthServicer()
        self._services = services
        self._probe = probe
        self._interval = interval
        self._serving: dict[str, bool] = {}
        self.problems: dict[str, str] = dict.fromkeys(services, "starting")
        """What keeps services from serving, for people; empty: all of them serve."""
        self.on_change: Callable[[Mapping[str, str]], None] = lambda _: None
        """Told the problems whenever a service begins or ends to serve."""

    async def follow(self) -> None:
        """Probes until cancelled; before and from then on the services are NOT_SERVING."""
        for service in self._services:
            await self._set(service, serving=False)
        try:
            while True:
                away = await self._store_problem()
                for service, ask in self._services.items():
                    await self._tell(service, away or ask())
                await asyncio.sleep(self._interval)
        finally:
            self.problems.update(dict.fromkeys(self._services, "stopping"))
            self.on_change(self.problems)
            for service in self._services:
                await self._set(service, serving=False)

    async def _store_problem(self) -> str | None:
        try:
            async with asyncio.timeout(self._interval):
                await self._probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, the store cannot be used
            return repr(error)
        return None

    async def _tell(self, service: str, problem: str | None) -> None:
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
            await self._set(service, serving=serving)
            self.on_change(self.problems)

    async def _set(self, service: str, *, serving: bool) -> None:
        self._serving[service] = serving
        await self.servicer.set(service, _SERVING if serving else _NOT_SERVING)
