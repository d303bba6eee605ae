"""How the C library keeps memory that was freed."""

import platform
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)

BEGIN = "from vwed_grpc.process.memory import return_free_memory\nreturn_free_memory()\n"
EIGHT_THREADS = """
from threading import Barrier, Thread
at_once = Barrier(8)

def allocate():
    at_once.wait()
    libc.free(libc.malloc(1000))
    at_once.wait()

threads = [Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
LARGE_ONES = """
libc.free(libc.malloc(8_000_000))
libc.malloc(2_000_000)
"""


def test_threads_share_what_is_free() -> None:
    arenas = "<heap nr="
    assert told(EIGHT_THREADS).count(arenas) > 2
    assert told(BEGIN + EIGHT_THREADS).count(arenas) == 2


def test_what_is_large_has_pages_of_its_own_also_after_another_was_freed() -> None:
    of_its_own = re.compile(r'<total type="mmap" count="\d+" size="(\d+)"')

    def bytes_of(program: str) -> int:
        return int(of_its_own.findall(told(program))[-1])

    assert bytes_of(LARGE_ONES) < 2_000_000
    assert bytes_of(BEGIN + LARGE_ONES) >= 2_000_000


def told(program: str) -> str:
    """What glibc says of its memory after the program, in a process of its own."""
    program = f"""
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
{program}
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return done.stdout.decode()
