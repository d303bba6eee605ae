"""The command `vwed-grpc`; each of its commands stands in a file of its own."""

import click

from vwed_grpc.cli.demo import demo
from vwed_grpc.cli.migrate import migrate
from vwed_grpc.cli.serve import serve
from vwed_grpc.cli.watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vwed-grpc")
def main() -> None:
    """The task store of a mobile-robot dispatch system, over gRPC."""


for command in (serve, migrate, demo, watch):
    main.add_command(command)
