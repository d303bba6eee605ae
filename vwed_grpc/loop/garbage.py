"""Few and short collections: while the interpreter's collector is at work, every call waits.

A full collection goes over all that lives: 150,000 objects of some thousand open calls take 100 ms.
Most of what lives through one is no garbage later, for it goes when nobody refers to it any more.
So what lived through one is left out of the next ones.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

THRESHOLD = 10_000
"""New objects that set off a collection. By default these are 700, which sixteen calls have: it
then finds next to nothing, and takes 3 % of their time. Ten thousand take it 1 ms."""
GROWTH = 300_000
"""Objects, some 50 MB: if so many more are left out than were alive, some of them are garbage in
circles, and the next collection is of all."""


@contextmanager
def importing() -> Iterator[None]:
    """Collects nothing while entered, and leaves out what is made meanwhile.

    Of a thousand modules next to nothing is garbage; to look through them time and again takes a
    sixth of the time that they take to be imported.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class ShortCollections:
    """While installed. Of one process: there is one collector."""

    def __init__(self) -> None:
        self._thresholds = gc.get_threshold()
        self._is_of_all = False
        self._most = 0

    def install(self) -> None:
        """Leaves out all that lives: the modules, above all."""
        gc.set_threshold(THRESHOLD, *self._thresholds[1:])
        gc.collect()
        self._leave_out_all()
        gc.callbacks.append(self._collected)

    def remove(self) -> None:
        """Leaves out nothing any more."""
        gc.callbacks.remove(self._collected)
        gc.unfreeze()
        gc.set_threshold(*self._thresholds)

    def _collected(self, phase: str, info: Mapping[str, int]) -> None:
        if phase != "stop" or info["generation"] < 2:  # noqa: PLR2004 - the oldest
            return
        if self._is_of_all:
            self._leave_out_all()
        elif gc.get_freeze_count() > self._most:
            gc.unfreeze()
            self._is_of_all = True
        else:
            gc.freeze()

    def _leave_out_all(self) -> None:
        """After a collection of all."""
        gc.freeze()
        self._is_of_all = False
        self._most = gc.get_freeze_count() + GROWTH
