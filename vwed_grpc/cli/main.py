"""The command `vwed-grpc`; each of its commands stands in a file of its own."""

from importlib import import_module
from os import environ

import click

from vwed_grpc.loop.garbage import importing

_OF_THE_SERVER = ("serve", "migrate", "backup", "restore")
_COMMANDS = (
    *_OF_THE_SERVER,
    *("list", "get", "watch", "top", "timeline"),
    *("cancel", "pause", "resume", "retry"),
    *("console", "demo", "export", "import", "prune"),
)
"""Each is a function of that name in a module of that name, but for those in `_ELSEWHERE`."""
_ELSEWHERE = {
    "import": ("import_", "import_"),
    "list": ("list_runs", "list_runs"),
    **{name: ("run_actions", name) for name in ("cancel", "pause", "resume", "retry")},
}


class _Commands(click.Group):
    """Imports what is called: a client command would else wait seconds for the server's modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name not in _OF_THE_SERVER:
            # gRPC writes of each handshake that fails what the command's error says once.
            environ.setdefault("GRPC_VERBOSITY", "NONE")
        module, name = _ELSEWHERE.get(cmd_name, (cmd_name, cmd_name))
        with importing():
            command: click.Command = getattr(import_module(f"vwed_grpc.cli.{module}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vwed-grpc")
def main() -> None:
    """The task store of a mobile-robot dispatch system, over gRPC."""
