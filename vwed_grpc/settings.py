"""The only reader of the environment: every option of the command line, by its VWED_ name."""

import json
import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vwed_grpc.domain.retention import Retention
from vwed_grpc.limits import Limits

NO_REDIS = "none"
_REDIS_SCHEMES = {
    "unix",
    *(f"redis{tls}{kind}" for tls in ("", "s") for kind in ("", "+sentinel", "+cluster")),
}
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]/]*\]|[^:/\[\]]*)(:(?P<port>\d*))?")
_HIGHEST_PORT = (1 << 16) - 1
_CLOSE = 0.9
"""How alike two names are, of which one is taken for the other: a letter or two differ."""
_RESOLVED_BY_GRPC = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):")


def _host_and_port(listen: str) -> str:
    found = _HOST_AND_PORT.fullmatch(listen)
    # gRPC itself takes the lower half of a port that is too high.
    if not (found and found["port"] and int(found["port"]) <= _HIGHEST_PORT):
        raise ValueError(f"{listen!r} is not host:port")
    return listen


def _target(target: str) -> str:
    # Of a name without a port gRPC takes 443, and of "http" an address that it knows nothing of.
    return target if not target or _RESOLVED_BY_GRPC.match(target) else _host_and_port(target)


# A URL may hold a password, so these do not repeat it. Nor must those who read it later: a password
# with a "/" that is not escaped would be taken for a port, and told as one that is no number.
def _postgresql_url(url: str) -> str:
    scheme, slashes, rest = url.partition("://")
    if not slashes or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("is not a URL that begins with postgresql://")
    _check_hosts(rest.partition("?")[0].rpartition("@")[2].partition("/")[0])
    return url


def _redis_url(url: str) -> str:
    if url == NO_REDIS:
        return url
    parts = urlsplit(url)
    if parts.scheme not in _REDIS_SCHEMES:
        raise ValueError('is neither "none" nor a URL that begins with redis://')
    _check_hosts(parts.netloc.rpartition("@")[2])
    return url


def _check_hosts(hosts: str) -> None:
    found = [_HOST_AND_PORT.fullmatch(one) for one in hosts.split(",")]
    if not all(one and int(one["port"] or 0) <= _HIGHEST_PORT for one in found):
        raise ValueError(
            "has a host or port that cannot be; in a password / ? # @ are written %2F %3F %23 %40"
        )


class Settings(BaseSettings, Limits):
    """What `serve` and the other commands run with; options given on the command line win."""

    model_config = SettingsConfigDict(env_prefix="VWED_", extra="ignore")

    listen: Annotated[str, AfterValidator(_host_and_port)] = "127.0.0.1:50051"
    target: Annotated[str, AfterValidator(_target)] | None = None
    """Where the client commands go; unset: `listen`."""
    token: str | None = Field(default=None, repr=False, exclude=True)
    """What they say who they are with."""
    token_file: Path | None = None
    """Where it stands, instead."""
    tls: bool = False
    """They trust the authorities that the system does; unset: no TLS, unless `tls_ca`."""
    tls_ca: Path | None = None
    """Those that they trust instead."""
    client_cert: Path | None = None
    client_key: Path | None = None
    database_url: Annotated[str, AfterValidator(_postgresql_url)] | None = Field(
        default=None, repr=False
    )
    """Unset: an embedded PostgreSQL under `data_dir`."""
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = Field(default=None, repr=False)
    """Unset: an embedded Redis-compatible server; "none": no cache at all."""
    data_dir: Path = Path(".vwed")
    workers: int = Field(default=1, ge=1, le=64)
    watched_dir: Path | None = None
    """Of a worker: where the PostgreSQL that its parent runs keeps its data."""
    disk_reserve_mib: int = Field(default=512, ge=0)
    """With less free for the embedded PostgreSQL, nothing is written but deletions."""
    worker: int | None = None
    """The number, from 0, of this process among several on the port; set by their parent."""
    insecure: bool = False
    """Allows listening beyond loopback without TLS, or without authentication."""
    tls_cert: Path | None = None
    """PEM: the server's certificate, and those between it and its authority; unset: no TLS."""
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    """Whose certificates clients must have; unset: they need none."""
    token_keys: Path | None = None
    """What tokens are verified with (`rpc.token_keys`); unset: callers need none."""
    token_issuer: str | None = None
    """`iss` of every token; unset: it is not looked at."""
    token_audience: str = "vwed"  # noqa: S105 - no secret
    """What the `aud` of every token must have."""
    audit_log: str = "off"
    """Where each call that may change something has a line: a file, "-": standard output, "off"."""
    introspection: Literal["open", "scope", "off"] = "scope"
    """Reflection and channelz: for all, for those whose tokens have the scope, for nobody."""
    metrics_listen: Annotated[str, AfterValidator(_host_and_port)] | None = None
    """Where metrics are shown, over HTTP; unset: nowhere."""
    metrics_dir: Path | None = None
    """Where this worker writes its metrics instead; set by its parent."""
    trace_share: float | None = Field(default=None, ge=0, le=1)
    """Of the calls, that which is traced; what callers trace is traced in any case. Unset: none."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)
    ] = "info"
    log_json: bool = False

    retention: dict[str, Retention] = {}
    """By tenant, "*" for all others: {"*": {"runs_days": 90, "events_days": 30}}."""

    statement_timeout: float = Field(default=5.0, gt=0)
    """Seconds after which PostgreSQL gives a query up."""
    database_connections: int = Field(default=18, ge=8)
    """At most this many connections to PostgreSQL a process; one for each kind of work at least."""
    start_timeout: float = Field(default=60.0, ge=0)
    """Seconds to wait at the start for a PostgreSQL that is not there yet."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """How long calls under way may take to end when the server stops."""

    @property
    def measures(self) -> bool:
        """Whether anybody looks at this process's metrics."""
        return bool(self.metrics_listen or self.metrics_dir)

    def environment(self) -> dict[str, str]:
        """The environment of a process that is to run with these settings, and no others."""
        ours = {
            f"VWED_{name.upper()}": value for name, value in self.model_dump(mode="json").items()
        }
        others = {name: value for name, value in os.environ.items() if name.upper() not in ours}
        return others | {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in ours.items()
            if value is not None
        }


def misspelt(given: Collection[str]) -> dict[str, str]:
    """Variables of the environment that are no settings, and what was meant by each.

    They would be passed over, and with an address that somebody meant the server works elsewhere.
    `given`: settings that have another source, so they are not what was meant.
    """
    names = {_variable(name) for name in Settings.model_fields}
    there = {name for name in map(str.upper, os.environ) if name.startswith("VWED_")}
    unset = names - there - set(map(_variable, given))
    close = {
        name: get_close_matches(name, unset, n=1, cutoff=_CLOSE) for name in sorted(there - names)
    }
    return {name: meant[0] for name, meant in close.items() if meant}


def _variable(name: str) -> str:
    return f"VWED_{name.upper()}"
