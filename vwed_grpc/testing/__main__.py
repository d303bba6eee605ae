"""The process behind `testing.server`: says on standard output where it serves, once it does.

It stops when its standard input ends, which it does however the test's process ended, and takes its
data away.
"""

import asyncio
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import uvloop

from vwed_grpc.process import logs, parent
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

_DRAIN_SECONDS = 1.0
"""The tests have ended by then; a call that is left waits for nobody."""


def main() -> None:
    logs.configure("warning", json=False)
    with tempfile.TemporaryDirectory(prefix="vwed-testing-") as data_dir:
        uvloop.run(_serve(Path(data_dir)))


async def _serve(data_dir: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    parent.when_it_ends(stop.set)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    settings = Settings(listen="127.0.0.1:0", data_dir=data_dir, drain_seconds=_DRAIN_SECONDS)
    async with serving(settings) as port:
        with suppress(BrokenPipeError):  # nobody is there any more, as `stop` says
            print(f"127.0.0.1:{port}", flush=True)  # noqa: T201 - that is what it is for
        await stop.wait()


if __name__ == "__main__":
    main()
