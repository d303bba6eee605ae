"""Where PostgreSQL is: the hosts that a database URL names.

`postgresql://user@one:5432,two:5433/vwed`, as libpq takes it, or SQLAlchemy's
`postgresql://user@/vwed?host=one:5432&host=two:5433`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

_AUTHORITY = re.compile(
    r"^(?P<before>[^/?#]*//(?:[^/?#]*@)?)(?P<hosts>[^/?#]*,[^/?#]*)(?P<after>.*)$"
)
PGBOUNCER = "pgbouncer"
_DEFAULT_PORT = "5432"
_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # a dialect's constructor is untyped


def parsed(url: str | sa.URL) -> sa.URL:
    """The URL in the form that SQLAlchemy takes; which server is wanted goes without saying."""
    if isinstance(url, str) and (found := _AUTHORITY.match(url)):
        hosts = [_with_port(host) for host in found["hosts"].split(",")]
        rest = sa.make_url(found["before"] + found["after"])
        made = rest.update_query_dict({"host": hosts})
    else:
        made = sa.make_url(url)
    # Only one that takes writes will do, whatever the URL says.
    return made.difference_update_query(["target_session_attrs", PGBOUNCER])


def through_pgbouncer(url: str) -> bool:
    """Whether it says `pgbouncer=true`: each transaction may have another session there."""
    return f"{PGBOUNCER}=true" in url.partition("?")[2].split("&")


def _with_port(host: str) -> str:
    return host if re.search(r":\d+$", host) else f"{host}:{_DEFAULT_PORT}"


def addresses(url: sa.URL) -> Sequence[Mapping[str, Any]]:
    """Host and port of each server, as the driver takes them; both may be left to it."""
    given = _arguments(without_tls(url))
    host, port = given.get("host"), given.get("port")
    if isinstance(host, list):
        return [{"host": h, "port": p} for h, p in zip(host, given["port"], strict=True)]
    return [{name: value for name, value in (("host", host), ("port", port)) if value is not None}]


def options(url: sa.URL) -> Mapping[str, Any]:
    """All that the URL says to the driver but where the servers are."""
    given = _arguments(without_tls(url))
    others = {name: value for name, value in given.items() if name not in {"host", "port"}}
    return {**others, **tls(url)}


def without_tls(url: sa.URL) -> sa.URL:
    return url.difference_update_query([name for name in url.query if name.startswith("ssl")])


def tls(url: sa.URL) -> Mapping[str, Any]:
    """What the URL says of it, for the driver, which takes libpq's words for it in a DSN alone."""
    words = {name: word for name, word in libpq(url).query.items() if name.startswith("ssl")}
    return {"dsn": f"postgresql://?{urlencode(words)}"} if words else {}


def libpq(url: sa.URL) -> sa.URL:
    """The same in libpq's words: `ssl`, which asyncpg's users write, is its `sslmode`."""
    mode = url.query.get("ssl")
    if mode is None:
        return url
    return url.difference_update_query(["ssl"]).update_query_dict({"sslmode": mode})


def named(url: sa.URL) -> str:
    """Where the servers are, for people."""
    places = [(str(at.get("host", "localhost")), at.get("port")) for at in addresses(url)]
    return ", ".join(host if port is None else f"{host}:{port}" for host, port in places)


def _arguments(url: sa.URL) -> dict[str, Any]:
    arguments: dict[str, Any] = _DIALECT.create_connect_args(url)[1]  # type: ignore[no-untyped-call]  # as untyped
    return arguments
