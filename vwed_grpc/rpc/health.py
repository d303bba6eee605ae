"""The standard health service: "" says that the process lives, the services follow the store."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

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
        services: Iterable[str],
        probe: Callable[[], Awaitable[None]],
        *,
        interval: float = 1.0,
    ) -> None:
        """`probe` raises while the store is away; it is asked, and given, `interval` seconds."""
        self.servicer = aio.HealthServicer()
        self._services = tuple(services)
        self._probe = probe
        self._interval = interval

    async def follow(self) -> None:
        """Probes until cancelled; from then on the services are NOT_SERVING."""
        serving = False
        await self._tell(serving=False)
        try:
            while True:
                problem = await self._problem()
                if serving is not (problem is None):
                    serving = problem is None
                    log.info("serving") if serving else log.warning("not serving", why=problem)
                    await self._tell(serving=serving)
                await asyncio.sleep(self._interval)
        finally:
            await self._tell(serving=False)

    async def _problem(self) -> str | None:
        try:
            async with asyncio.timeout(self._interval):
                await self._probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, the store cannot be used
            return repr(error)
        return None

    async def _tell(self, *, serving: bool) -> None:
        for service in self._services:
            await self.servicer.set(service, _SERVING if serving else _NOT_SERVING)
