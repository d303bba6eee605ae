"""How the C library keeps memory that was freed."""

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8
"""As glibc's malloc.h says."""
_ARENAS = 2


def share_free_memory() -> None:
    """Has glibc allocate from two arenas, where each thread would have its own: eight a core.

    What is free in one is of no use to the threads of the others, so a server takes ever more the
    longer it lives. Call it before there are threads. Other C libraries have no such option.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
