"""Says twice a second that this server can write: see `storage.pulse`."""

import asyncio

import structlog

from vwed_grpc.storage import pulse
from vwed_grpc.storage.pool import Pool

log = structlog.get_logger("vwed.pulse")

PATIENCE = 1.5
"""Seconds for a beat. Then the server may be gone, and another one have taken its place."""


class Pulse:
    """The beats of one server."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.renewals = 0
        """How often leases had their term anew."""

    async def run(self) -> None:
        """Beats until cancelled; while the store is away it tries on."""
        while True:
            silent = asyncio.get_running_loop().call_later(PATIENCE, self._pool.abandon)
            try:
                if await pulse.beat(self._pool):
                    self.renewals += 1
                    log.info("leases have their term anew: nobody could renew them for a while")
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next beat may go well
                log.debug("no beat", error=repr(exc))
            finally:
                silent.cancel()
            await asyncio.sleep(pulse.BEAT_SECONDS)
