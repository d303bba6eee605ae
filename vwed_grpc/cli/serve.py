"""`vwed-grpc serve`: the server, until it is told to stop.

The server itself is imported once the options are good: what is wrong with them is said at once.
"""

from pathlib import Path
from typing import Any

import click

from vwed_grpc.cli.options import settings_from
from vwed_grpc.loop.garbage import importing
from vwed_grpc.process import logs

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--listen", help="Where to listen, host:port.  [VWED_LISTEN, 127.0.0.1:50051]")
@click.option("--database-url", help="PostgreSQL; without it one is embedded.  [VWED_DATABASE_URL]")
@click.option(
    "--redis-url",
    help='Redis; without it one is embedded; "none": no cache at all.  [VWED_REDIS_URL]',
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where embedded servers keep their data.  [VWED_DATA_DIR, .vwed]",
)
@click.option("--workers", type=int, help="Processes on the port.  [VWED_WORKERS, 1]")
@click.option(
    "--metrics-listen",
    help="Where to show /metrics, /livez and /readyz, over HTTP.  [VWED_METRICS_LISTEN, nowhere]",
)
@click.option(
    "--start-timeout",
    type=float,
    help="Seconds to wait for PostgreSQL at the start.  [VWED_START_TIMEOUT, 60]",
)
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen beyond loopback though there is no TLS, or no authentication.",
)
@click.option("--tls-cert", type=_FILE, help="The server's certificate, PEM.  [VWED_TLS_CERT]")
@click.option("--tls-key", type=_FILE, help="Its private key.  [VWED_TLS_KEY]")
@click.option(
    "--tls-client-ca",
    type=_FILE,
    help="Clients must have certificates of this authority.  [VWED_TLS_CLIENT_CA]",
)
@click.option(
    "--token-keys",
    type=_FILE,
    help="Callers must have tokens (JWT) of these keys: a JWK Set, or a public key in"
    " PEM.  [VWED_TOKEN_KEYS]",
)
@click.option("--token-issuer", help="Who must have issued them.  [VWED_TOKEN_ISSUER, anybody]")
@click.option("--token-audience", help="Whom they must be meant for.  [VWED_TOKEN_AUDIENCE, vwed]")
@click.option(
    "--audit-log",
    help="A line of JSON for each call that may change something: to a file, or standard output"
    ' ("-").  [VWED_AUDIT_LOG, off]',
)
@click.option(
    "--introspection",
    type=click.Choice(["open", "scope", "off"]),
    help="Whom reflection and channelz are for.  [VWED_INTROSPECTION, scope]",
)
def serve(**given: Any) -> None:
    """Serve until interrupted."""
    settings = settings_from(given)
    logs.configure(settings.log_level, json=settings.log_json)
    with importing():
        from vwed_grpc.cli.serving import serve_until_stopped  # noqa: PLC0415 - see above

    serve_until_stopped(settings)
