"""How the C library keeps memory that was freed."""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""As glibc's malloc.h says."""
_OWN_PAGES_BYTES = 256 << 10
_ARENAS = 2


def return_free_memory() -> None:
    """Has glibc give back what is freed; by itself it keeps ever more the longer a server lives.

    It would have an arena for each thread, up to eight a core, and what is free in one is of no
    use to the threads of another. And once something large was freed, whatever is as large would
    go among small things, which stay and keep its place. Call it before there are threads.
    Other C libraries have no such options.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
