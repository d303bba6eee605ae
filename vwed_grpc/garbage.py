"""Short collections: what the interpreter's collector goes over, every call waits for.

A full collection goes over all that lives: 150,000 objects of some thousand open calls take 100 ms,
every two seconds while they come and go. Most of what lives through one is no garbage later, for it
goes when nobody refers to it any more. So what lived through one is left out of the next ones.
"""

import gc
from collections.abc import Mapping

LOOK = 100
"""Collections of the oldest after which it is looked how much is left out."""
GROWTH = 300_000
"""Objects, some 50 MB: if so many more are left out than were alive, some of them are garbage in
circles, and the next collection is of all."""


class ShortCollections:
    """While installed. Of one process: there is one collector."""

    def __init__(self) -> None:
        self._since_look = 0
        self._most = 0

    def install(self) -> None:
        """Leaves out all that lives: the modules, above all."""
        gc.collect()
        self._leave_out_all()
        gc.callbacks.append(self._collected)

    def remove(self) -> None:
        """Leaves out nothing any more."""
        gc.callbacks.remove(self._collected)
        gc.unfreeze()

    def _collected(self, phase: str, info: Mapping[str, int]) -> None:
        if phase != "stop" or info["generation"] < 2:  # noqa: PLR2004 - the oldest
            return
        self._since_look += 1
        if self._since_look > LOOK:
            self._leave_out_all()
        elif self._since_look == LOOK and gc.get_freeze_count() > self._most:
            gc.unfreeze()
        else:
            self._since_look %= LOOK
            gc.freeze()

    def _leave_out_all(self) -> None:
        """After a collection of all."""
        gc.freeze()
        self._since_look = 0
        self._most = gc.get_freeze_count() + GROWTH
