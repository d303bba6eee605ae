"""What all commands that are clients share: where the server is, who asks, and how they end."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
import grpc

from vwed.client import Client, Token, connect, error_info
from vwed_grpc.cli.options import settings_from
from vwed_grpc.cli.tls import credentials, read
from vwed_grpc.cli.unreachable import plain
from vwed_grpc.domain.ids import ID, ID_DEMAND

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])
Break: TypeAlias = grpc.aio.AioRpcError | TimeoutError
_FILE = click.Path(path_type=Path, dir_okay=False)
_PATIENCE = 3.0
"""Seconds for a server that is just starting."""


@dataclass(frozen=True)
class Target:
    """A server, and who asks it."""

    address: str
    tenant: str
    token: Token = field(repr=False)
    credentials: grpc.ChannelCredentials | None = field(repr=False)

    def why(self, broken: Break) -> str:
        """What a broken connection, or an answer that is late, has to say, in a line."""
        if isinstance(broken, TimeoutError):
            return f"{self.address} is silent"
        said = (broken.details() or "").partition("\n")[0]
        info = error_info(broken)
        if info is not None and info.reason == "TOKEN_MISSING":
            said = "a token is needed: --token-file or VWED_TOKEN"
        elif info is None and broken.code() is grpc.StatusCode.UNAVAILABLE:
            return f"{self.address} is not reachable: {plain(said)}"
        elif info is None and broken.code() is grpc.StatusCode.UNIMPLEMENTED:
            return f"{self.address} is another service, or an older one: {said}"
        elif broken.code() is grpc.StatusCode.NOT_FOUND:
            said = f"{said} of the tenant {self.tenant}"
        return f"{broken.code().name}: {said}"

    def tell_outage(self, broken: Break | None) -> None:
        """On standard error, which stays apart from what a program reads."""
        said = (
            f"connection lost, trying again: {self.why(broken)}" if broken else "connection is back"
        )
        click.echo(said, err=True)

    def connect(
        self, actor: str = "", *, patience: float = _PATIENCE
    ) -> AbstractAsyncContextManager[Client]:
        """As `client.connect`; a server that is not there is said soon, unless told otherwise."""
        return connect(
            self.address,
            tenant=self.tenant,
            actor=actor,
            token=self.token,
            credentials=self.credentials,
            patience=patience,
        )


_OPTIONS = (
    click.option(
        "--target",
        show_default="VWED_TARGET, else VWED_LISTEN, else 127.0.0.1:50051",
        help="The server, as host:port.",
    ),
    click.option(
        "--tenant",
        default="default",
        show_default=True,
        callback=lambda _context, _option, value: _tenant(value),
        help="Whose data.",
    ),
    click.option(
        "--token-file",
        type=_FILE,
        help="Where the token stands, read for each call.  [VWED_TOKEN_FILE; the token itself:"
        " VWED_TOKEN]",
    ),
    click.option(
        "--tls",
        is_flag=True,
        default=None,
        help="With TLS, by the system's authorities.  [VWED_TLS]",
    ),
    click.option("--tls-ca", type=_FILE, help="With TLS, by these authorities.  [VWED_TLS_CA]"),
    click.option(
        "--client-cert", type=_FILE, help="The certificate of the client.  [VWED_CLIENT_CERT]"
    ),
    click.option("--client-key", type=_FILE, help="Its private key.  [VWED_CLIENT_KEY]"),
)


def target_options(command: Command) -> Callable[..., Any]:
    """The options that say which server, for whom and how; the command gets a `target`."""

    @wraps(command)
    def with_target(*words: Any, tenant: str, **given: Any) -> Any:
        names = ("target", "token_file", "tls", "tls_ca", "client_cert", "client_key")
        found = _target_of(tenant, {name: given.pop(name) for name in names})
        return command(*words, target=found, **given)

    for option in reversed(_OPTIONS):
        with_target = option(with_target)
    return with_target


_EXIT_CODES = {
    grpc.StatusCode.NOT_FOUND: 3,
    grpc.StatusCode.FAILED_PRECONDITION: 4,
    grpc.StatusCode.ABORTED: 4,
    grpc.StatusCode.ALREADY_EXISTS: 4,
}
"""Of a call that failed, else 1; 2 is a wrong command line's."""


class CallFailed(click.ClickException):
    """A call's error as one line, and the exit code that scripts tell it by."""

    def __init__(self, target: Target, exc: grpc.aio.AioRpcError) -> None:
        super().__init__(target.why(exc))
        self.code = exc.code()

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click reads it from the error itself
        return _EXIT_CODES.get(self.code, 1)


def run(target: Target, work: Coroutine[Any, Any, T]) -> T:
    """Run a client to its end: errors of calls become one line, Ctrl-C is a quiet end."""
    try:
        return asyncio.run(work)
    except grpc.aio.AioRpcError as exc:
        raise CallFailed(target, exc) from exc
    except BrokenPipeError:
        raise  # whoever read it has enough, which click knows
    except OSError as exc:
        raise click.ClickException(f"cannot go on: {exc.strerror}") from exc
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _tenant(value: str) -> str:
    if not ID.fullmatch(value):
        raise click.BadParameter(ID_DEMAND)
    return value


def _target_of(tenant: str, given: dict[str, Any]) -> Target:
    """Raises click.ClickException."""
    settings = settings_from(given)
    token_file = settings.token_file
    token: Token = settings.token and _token(settings.token)
    if token_file is not None:
        token = lambda: _token(read(token_file).decode(errors="replace"))  # noqa: E731 - as short
    return Target(
        settings.target or settings.listen, tenant, token, credentials=credentials(settings)
    )


def _token(text: str) -> str:
    """Raises click.ClickException, which says nothing of what is in it."""
    token = text.strip()
    if not (token.isascii() and token.isprintable()):
        raise click.ClickException("the token is not one line of ASCII")
    return token
