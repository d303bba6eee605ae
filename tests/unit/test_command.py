"""The command `vwed-grpc`: its commands, whom they ask, and the other names of their options."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from vwed.v1.record_service_pb2 import GetTaskRecordRequest

from vwed.client import Unavailable
from vwed_grpc.cli.main import main
from vwed_grpc.cli.options import settings_from
from vwed_grpc.cli.target import Target, target_options

SERVERS = {"serve"}
ON_THE_DATABASE = {"migrate", "backup", "restore"}
OF_A_RUN = {"get", "watch", "timeline"}
OF_RUNS = {"cancel", "pause", "resume", "retry"}
CLIENTS = {"demo", "list", "top", "console", "export", "import", "prune"} | OF_A_RUN | OF_RUNS
VALUES: dict[str, tuple[str, object]] = {
    "listen": ("127.0.0.1:7", "127.0.0.1:7"),
    "database_url": ("postgresql://db/vwed", "postgresql://db/vwed"),
    "redis_url": ("none", "none"),
    "data_dir": ("/data", Path("/data")),
    "workers": ("3", 3),
}
"""Option of `serve` -> a value in the environment, and what that means."""


@pytest.fixture(autouse=True)
def _nothing_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("VWED_")]:
        monkeypatch.delenv(name)


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found
    return found


def options(name: str) -> set[str]:
    """As they are written, without those that every command has."""
    params = [param for param in command(name).params if isinstance(param, click.Option)]
    return {word for param in params for word in param.opts}


def test_there_are_these_commands() -> None:
    listed = main.list_commands(click.Context(main))
    assert set(listed) == SERVERS | ON_THE_DATABASE | CLIENTS
    for name in OF_A_RUN | OF_RUNS:
        (run,) = (param for param in command(name).params if isinstance(param, click.Argument))
        assert (run.required, run.nargs) == (True, -1 if name in OF_RUNS else 1)


def test_who_asks_a_server_has_a_target() -> None:
    for name in main.list_commands(click.Context(main)):
        assert ("--target" in options(name)) is (name in CLIENTS), name


def test_who_works_on_the_database_has_its_url_or_directory() -> None:
    for name in ON_THE_DATABASE:
        assert {"--database-url", "--data-dir"} <= options(name)


@click.command()
@target_options
def said(target: Target) -> None:
    """Whom it would ask."""
    click.echo(target.address)


def test_a_target_is_what_was_said_first() -> None:
    given: list[tuple[list[str], dict[str, str]]] = [
        (["--target", "a:1"], {"VWED_TARGET": "b:2", "VWED_LISTEN": "c:3"}),
        ([], {"VWED_TARGET": "b:2", "VWED_LISTEN": "c:3"}),
        ([], {"VWED_LISTEN": "c:3"}),
        ([], {}),
    ]
    asked = [CliRunner().invoke(said, words, env=env).output.strip() for words, env in given]
    assert asked == ["a:1", "b:2", "c:3", "127.0.0.1:50051"]


def test_serve_has_its_options_and_defaults() -> None:
    assert {f"--{name.replace('_', '-')}" for name in VALUES} | {"--insecure"} <= options("serve")
    settings = settings_from(dict.fromkeys(VALUES))
    assert (settings.listen, settings.workers) == ("127.0.0.1:50051", 1)
    assert (settings.database_url, settings.redis_url) == (None, None)
    assert settings.insecure is False


@pytest.mark.parametrize("option", VALUES)
def test_each_option_of_serve_has_an_environment_variable(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, meant = VALUES[option]
    monkeypatch.setenv(f"VWED_{option.upper()}", written)
    assert getattr(settings_from({option: None}), option) == meant
    others: dict[str, object] = {
        "listen": "127.0.0.1:8",
        "database_url": "postgresql://other/vwed",
        "redis_url": "redis://cache",
        "data_dir": Path("/other"),
        "workers": 4,
    }
    # What is said on the command line wins.
    assert getattr(settings_from({option: others[option]}), option) == others[option]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("VWED_LISTEN", "50051", "VWED_LISTEN: '50051' is not host:port"),
        ("VWED_LISTEN", "127.0.0.1:65536", "VWED_LISTEN: '127.0.0.1:65536' is not host:port"),
        ("VWED_TARGET", "http://a:1", "VWED_TARGET: 'http://a:1' is not host:port"),
        ("VWED_TARGET", "a", "VWED_TARGET: 'a' is not host:port"),
        ("VWED_WORKERS", "0", "VWED_WORKERS: Input should be greater than or equal to 1, not 0"),
        ("VWED_RETENTION", "30", "VWED_RETENTION: Input should be a valid dictionary, not 30"),
        ("VWED_RETENTION", "30d", "VWED_RETENTION: is not JSON"),
        ("VWED_RETENTION", '{"*": {"days": 3}}', "VWED_RETENTION: *.days: Extra inputs are not"),
        ("VWED_REDIS_URL", "redis://:secret/@a", "VWED_REDIS_URL: has a host or port that cannot"),
        ("VWED_DATABSE_URL", "x", "VWED_DATABSE_URL is no setting, VWED_DATABASE_URL is"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(click.ClickException) as refused:
        settings_from({})
    assert refused.value.message.startswith(problem)
    assert "secret" not in refused.value.message
    assert refused.value.exit_code == 1


def test_an_option_that_cannot_be_is_a_wrong_command_line() -> None:
    with pytest.raises(click.ClickException, match=r"^--listen: 'a' is not host:port$") as refused:
        settings_from({"listen": "a"})
    assert refused.value.exit_code == 2


def test_names_that_are_like_no_setting_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VWED_GRPC_SERVICE_HOST", "VWED_TEST_DATABASE_URL"):
        monkeypatch.setenv(name, "x")
    # A setting that is there was not meant by what is like it.
    monkeypatch.setenv("VWED_DATABASE_URL", "postgresql://db/vwed")
    monkeypatch.setenv("VWED_DATABASE_URLS", "x")
    assert settings_from({}).database_url == "postgresql://db/vwed"


@pytest.mark.parametrize(
    "target", ["dns:///a:1", "ipv4:10.0.0.1:1,10.0.0.2:1", "unix:/a", "[::1]:1"]
)
def test_a_target_may_be_any_name_of_grpc(target: str) -> None:
    assert CliRunner().invoke(said, ["--target", target]).output.strip() == target


async def test_a_server_that_is_not_there_is_said_in_plain_words() -> None:
    target = Target("127.0.0.1:1", "default", None, None)
    async with target.connect(patience=0) as client:
        with pytest.raises(Unavailable) as away:
            await client.records.GetTaskRecord(GetTaskRecordRequest(id="none"))
    said = "127.0.0.1:1 is not reachable: Connection refused; does a server listen there?"
    assert target.why(away.value) == said
