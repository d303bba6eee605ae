"""What a worker tells its parent, over its standard input: what keeps its services from serving.

Standard input is one end of a pair of sockets. It ends with the parent, which is how a worker knows
to stop; in the other direction goes a line of JSON for each change.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress


@contextmanager
def reports_to_parent() -> Iterator[Callable[[Mapping[str, str]], None]]:
    """In a worker: what to call with the problems of its services, by name."""
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as parent:

        def report(problems: Mapping[str, str]) -> None:
            # If the parent has died this process is about to stop; if it is frozen it asks nobody.
            with suppress(OSError):
                parent.send(json.dumps(dict(problems)).encode() + b"\n", socket.MSG_DONTWAIT)

        yield report


async def follow_worker(worker: socket.socket, tell: Callable[[str | None], None]) -> None:
    """In the parent, until the worker ends: tells why it does not serve; None: it serves."""
    reader, writer = await asyncio.open_connection(sock=worker)
    try:
        while line := await reader.readline():
            problems: dict[str, str] = json.loads(line)
            tell("; ".join(f"{name}: {why}" for name, why in problems.items()) or None)
    finally:
        writer.close()
