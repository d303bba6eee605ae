"""The only reader of the environment: every option of the command line, by its VWED_ name."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vwed_grpc.domain.retention import Retention

NO_REDIS = "none"


def _host_and_port(listen: str) -> str:
    _, colon, port = listen.rpartition(":")
    if not (colon and port.isdecimal()):
        raise ValueError(f"{listen!r} is not host:port")
    return listen


# A URL may hold a password, so these do not repeat it.
def _postgresql_url(url: str) -> str:
    if urlsplit(url).scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("is not a URL that begins with postgresql://")
    return url


def _redis_url(url: str) -> str:
    if url != NO_REDIS and urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError('is neither "none" nor a URL that begins with redis://')
    return url


class Settings(BaseSettings):
    """What `serve` and the other commands run with; options given on the command line win."""

    model_config = SettingsConfigDict(env_prefix="VWED_", extra="ignore")

    listen: Annotated[str, AfterValidator(_host_and_port)] = "127.0.0.1:50051"
    target: str | None = None
    """Where the client commands go; unset: `listen`."""
    database_url: Annotated[str, AfterValidator(_postgresql_url)] | None = None
    """Unset: an embedded PostgreSQL under `data_dir`."""
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = None
    """Unset: an embedded Redis-compatible server; "none": no cache at all."""
    data_dir: Path = Path(".vwed")
    workers: int = Field(default=1, ge=1, le=64)
    worker: bool = False
    """This process is one of several on the port; set by their parent."""
    insecure: bool = False
    """Allows listening beyond loopback, where there is neither TLS nor authentication."""
    metrics_listen: Annotated[str, AfterValidator(_host_and_port)] | None = None
    """Where metrics are shown, over HTTP; unset: nowhere."""
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
    live_calls: int = Field(default=256, ge=1)
    """Calls of the live class at work at once; a quarter more for what is urgent."""
    bulk_calls: int = Field(default=32, ge=1)
    figures_calls: int = Field(default=4, ge=1)
    waits: int = Field(default=10_000, ge=1)
    """Claims that wait and streams out; a connection has half."""
    incoming_streams: int = Field(default=1_000, ge=1)
    """Of reports and imports."""
    start_timeout: float = Field(default=60.0, ge=0)
    """Seconds to wait at the start for a PostgreSQL that is not there yet."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """How long calls under way may take to end when the server stops."""

    def environment(self) -> dict[str, str]:
        """The environment of a process that is to run with these settings."""
        given = self.model_dump(mode="json", exclude_none=True)
        return os.environ | {
            f"VWED_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }
