"""Several hosts in a database URL, as libpq and as SQLAlchemy write them."""

import pytest
from pydantic import ValidationError

from vwed_grpc.settings import Settings
from vwed_grpc.storage.hosts import addresses, libpq, named, options, parsed, through_pgbouncer

TWO = [{"host": "one", "port": 5433}, {"host": "two", "port": 5432}]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://one:5433,two:5432/vwed", TWO),
        ("postgresql://u:p%40ss@one:5433,two/vwed?target_session_attrs=read-write", TWO),
        ("postgresql://u@/vwed?host=one:5433&host=two:5432", TWO),
        ("postgresql://u@one:5433/vwed?application_name=a,b", [{"host": "one", "port": 5433}]),
        ("postgresql://u@/vwed?host=/run/pg&port=5433", [{"host": "/run/pg", "port": 5433}]),
        ("postgresql://u@[::1]:5433/vwed", [{"host": "::1", "port": 5433}]),
        ("postgresql:///vwed", [{}]),
    ],
)
def test_each_host_is_found(url: str, found: list[dict[str, object]]) -> None:
    assert Settings(database_url=url).database_url == url
    assert [dict(each) for each in addresses(parsed(url))] == found


def test_all_else_is_kept() -> None:
    url = parsed("postgresql+psycopg://u:p%40ss@one,two/vwed?pgbouncer=true")
    assert options(url) == {"user": "u", "password": "p@ss", "database": "vwed"}


def test_tls_is_said_in_the_words_of_libpq_to_both_drivers() -> None:
    written = "postgresql://u@one/vwed?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    dsn = "postgresql://?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"
    assert options(parsed(written))["dsn"] == dsn
    for word in ("ssl", "sslmode"):
        url = parsed(f"postgresql://u@one/vwed?{word}=require")
        assert options(url) == {
            "user": "u",
            "database": "vwed",
            "dsn": "postgresql://?sslmode=require",
        }
        assert libpq(url).query == {"sslmode": "require"}


def test_people_are_told_where_it_is() -> None:
    for url, where in (
        ("postgresql://u:secret@one:5433,two/vwed", "one:5433, two:5432"),
        ("postgresql://u@/vwed?host=/run/pg&port=5433", "/run/pg:5433"),
        ("postgresql://u:secret@one/vwed", "one"),
        ("postgresql:///vwed", "localhost"),
    ):
        assert named(parsed(url)) == where


@pytest.mark.parametrize(
    "url",
    [
        *("", "mysql://u:secret@one/vwed", "postgresql:/u:secret@one/vwed", "u:secret@one"),
        *("postgresql://u:secret@one:b/vwed", "postgresql://u:secret@one,two:b/vwed"),
        *("postgresql://u:secret@[::1/vwed", "postgresql://u:secret?x@one/vwed"),
    ],
)
def test_others_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=url)
    assert "secret" not in str(refused.value.errors(include_input=False))


def test_pgbouncer_is_named() -> None:
    assert through_pgbouncer("postgresql://one/vwed?ssl=require&pgbouncer=true")
    assert not through_pgbouncer("postgresql://one/pgbouncer=true")
