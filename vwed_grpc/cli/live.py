"""What follows something shows on a terminal: a picture of it, drawn anew while it changes."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self, TypeAlias

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vwed_grpc.cli.screen import fit
from vwed_grpc.cli.target import Break, Target
from vwed_grpc.views.words import duration

Lines: TypeAlias = Callable[[int, int], Sequence[Text]]
"""What is to be seen now, in at most so many columns and lines."""

_PAUSE = 0.25
"""Seconds between two pictures at least."""
_SHARE = 4
"""After a picture that took a second, so many seconds are left to others, however much it shows."""


class LivePicture:
    """Drawn by the event loop, so what it shows does not change in the midst of it."""

    def __init__(self, target: Target, lines: Lines) -> None:
        self._target = target
        self._lines = lines
        self._console = Console(highlight=False)
        self._lost: tuple[float, str] | None = None
        """Since when the server is lost, and why."""

    async def __aenter__(self) -> Self:
        self._live = Live(get_renderable=self._drawn, console=self._console, auto_refresh=False)
        self._live.start()
        self._drawing = asyncio.create_task(self._draw())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """What was seen last stays, as it is now."""
        self._drawing.cancel()
        self._lost = None
        self._live.stop()
        with suppress(asyncio.CancelledError):
            await self._drawing

    def on_outage(self, broken: Break | None) -> None:
        """Its first line says that the server is lost, until it is back."""
        self._lost = (monotonic(), self._target.why(broken)) if broken is not None else None

    async def _draw(self) -> None:
        while True:
            began = monotonic()
            self._live.refresh()
            await asyncio.sleep(max(_PAUSE, _SHARE * (monotonic() - began)))

    def _drawn(self) -> Group:
        # One line less than there are: the cursor stands below.
        width, height = self._console.size.width, self._console.size.height - 1
        if self._lost is None:
            return Group(*self._lines(width, height))
        since, why = self._lost
        said = f"connection lost, trying again ({duration(monotonic() - since)}): {why}"
        head = fit(Text(said, style="bold yellow"), width)
        return Group(head, *self._lines(width, height - 1))
