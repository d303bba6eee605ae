"""The only reader of the environment: every option of the command line, by its VWED_ name."""

import json
import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vwed_grpc.domain.retention import Retention


class Settings(BaseSettings):
    """What `serve` and the other commands run with; options given on the command line win."""

    model_config = SettingsConfigDict(env_prefix="VWED_", extra="ignore")

    listen: str = "127.0.0.1:50051"
    target: str | None = None
    """Where the client commands go; unset: `listen`."""
    database_url: str | None = None
    """Unset: an embedded PostgreSQL under `data_dir`."""
    redis_url: str | None = None
    """Unset: an embedded Redis-compatible server; "none": no cache at all."""
    data_dir: Path = Path(".vwed")
    workers: int = Field(default=1, ge=1, le=64)
    worker: bool = False
    """This process is one of several on the port; set by their parent."""
    insecure: bool = False
    """Allows listening beyond loopback, where there is neither TLS nor authentication."""
    log_level: str = "info"
    log_json: bool = False

    retention: dict[str, Retention] = {}
    """By tenant, "*" for all others: {"*": {"runs_days": 90, "events_days": 30}}."""

    statement_timeout: float = Field(default=5.0, gt=0)
    """Seconds after which PostgreSQL gives a query up."""
    database_connections: int = Field(default=10, ge=2)
    """At most this many connections to PostgreSQL a process."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """How long calls under way may take to end when the server stops."""

    def environment(self) -> dict[str, str]:
        """The environment of a process that is to run with these settings."""
        given = self.model_dump(mode="json", exclude_none=True)
        return os.environ | {
            f"VWED_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }
