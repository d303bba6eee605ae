import asyncio


class Notifier:
    """Wakes all who wait for something to change, so that they look again."""

    def __init__(self) -> None:
        self._rung: asyncio.Future[None] | None = None

    def ring(self) -> None:
        if self._rung is not None:
            self._rung.set_result(None)
            self._rung = None

    async def wait(self) -> None:
        """Until it rings next; look before, without awaiting anything between."""
        if self._rung is None:
            self._rung = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._rung)  # one who is cancelled leaves the others waiting
