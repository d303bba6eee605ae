"""What all commands that are clients share: where the server is, and how they end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
import grpc

from vwed_grpc.cli.options import settings_from
from vwed_grpc.domain.ids import ID, ID_DEMAND

Command = TypeVar("Command", bound=Callable[..., Any])


def target_options(command: Command) -> Command:
    """The options `--target` and `--tenant`."""
    target = click.option(
        "--target",
        default=_default_target,
        show_default="VWED_TARGET, else VWED_LISTEN, else 127.0.0.1:50051",
        help="The server, as host:port.",
    )
    tenant = click.option(
        "--tenant", default="default", show_default=True, callback=_tenant, help="Whose data."
    )
    return target(tenant(command))


def run(target: str, work: Coroutine[Any, Any, None]) -> None:
    """Run a client to its end: errors of calls become one line, Ctrl-C is a quiet end."""
    try:
        asyncio.run(work)
    except grpc.aio.AioRpcError as exc:
        said = (exc.details() or "").partition("\n")[0]
        if exc.code() is grpc.StatusCode.UNAVAILABLE:
            raise click.ClickException(f"{target} is not reachable: {said}") from exc
        raise click.ClickException(f"{exc.code().name}: {said}") from exc
    except BrokenPipeError:
        raise  # whoever read it has enough, which click knows
    except OSError as exc:
        raise click.ClickException(f"cannot go on: {exc.strerror}") from exc
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _tenant(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not ID.fullmatch(value):
        raise click.BadParameter(ID_DEMAND)
    return value


def _default_target() -> str:
    settings = settings_from({})
    return settings.target or settings.listen
