"""The process that started this one, and waits for it: standard input ends when that one does."""

import asyncio
import os
import sys
from collections.abc import Callable


def when_it_ends(call: Callable[[], None]) -> None:
    """Calls `call` once, from the running loop, however the parent ended."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def ended() -> None:
        try:
            more = os.read(stdin, 1)
        except ConnectionError:  # of a socket, when the parent had not read all that it was told
            more = b""
        if not more:
            loop.remove_reader(stdin)
            call()

    loop.add_reader(stdin, ended)
