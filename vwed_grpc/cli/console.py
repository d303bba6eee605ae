"""`vwed-grpc console`: pages for a browser, until it is told to stop."""

import signal
import socket
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import click

from vwed.client import Client
from vwed_grpc.cli.options import WrongOption
from vwed_grpc.cli.target import Target, target_options

_ACTOR = "console"
_HIGHEST_PORT = (1 << 16) - 1
_GRACE = 1
"""Seconds for answers under way once it is told to stop; streams are taken up again."""


@click.command()
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Where, as host:port.")
@click.option(
    "--allow-actions",
    is_flag=True,
    help="Let whoever reaches it cancel, pause, resume, retry and signal runs.",
)
@click.option(
    "--public-name",
    "names",
    multiple=True,
    help="The host's name in the browser's address, of a proxy before it say; several times for"
    " several. localhost and addresses need none.",
)
@target_options
def console(listen: str, *, allow_actions: bool, names: tuple[str, ...], target: Target) -> None:
    """Show runs, definitions and figures in a browser.

    It calls with the token that the browser or the proxy before it sends, else with its own.
    """
    try:
        import uvicorn  # noqa: PLC0415 - these come with an extra

        from vwed_grpc.console.app import console_app  # noqa: PLC0415 - it needs the extra
        from vwed_grpc.console.identity import Caller  # noqa: PLC0415 - the same
    except ImportError as exc:
        raise click.ClickException(
            f"{exc.name} is missing: pip install 'vwed-grpc[console]'"
        ) from exc

    def connect(caller: Caller) -> AbstractAsyncContextManager[Client]:
        theirs = replace(
            target, tenant=caller.tenant or target.tenant, token=caller.token or target.token
        )
        return theirs.connect(caller.actor or _ACTOR)

    host = listen.rpartition(":")[0]
    app = console_app(connect, allow_actions=allow_actions, names=[*names, host])
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    with _bound(listen) as bound:
        click.echo(f"The console: http://{host}:{bound.getsockname()[1]}")
        for number in (signal.SIGINT, signal.SIGTERM):
            # The server catches these, and sends itself another one when it has stopped.
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[bound])


def _bound(listen: str) -> socket.socket:
    """Raises click.ClickException."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    if not (host and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise WrongOption(f"--listen: {listen!r} is not host:port")
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family)
    except OSError as exc:
        why = (exc.strerror or "").partition(" (while ")[0]  # then comes the address once more
        raise click.ClickException(f"cannot listen on {listen}: {why}") from exc
