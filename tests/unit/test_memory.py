"""How the C library keeps memory that was freed."""

import platform
import subprocess
import sys

import pytest

COUNT_ARENAS = """
import ctypes
from threading import Barrier, Thread

{begin}
libc = ctypes.CDLL(None)
at_once = Barrier(8)


def allocate():
    at_once.wait()
    libc.free(ctypes.c_void_p(libc.malloc(1000)))
    at_once.wait()


libc.malloc.restype = ctypes.c_void_p
threads = [Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_threads_share_what_is_free() -> None:
    assert _arenas("") > 2
    begin = "from vwed_grpc.process.memory import share_free_memory\nshare_free_memory()"
    assert _arenas(begin) == 2


def _arenas(begin: str) -> int:
    told = subprocess.run(
        [sys.executable, "-c", COUNT_ARENAS.format(begin=begin)],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.count("<heap nr=")
