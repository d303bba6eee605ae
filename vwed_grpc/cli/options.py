"""What was given on the command line, over what the environment says."""

from collections.abc import Mapping
from typing import Any

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from vwed_grpc.settings import Settings, misspelt


class WrongOption(click.ClickException):
    """What was given on the command line cannot be; said in one line."""

    exit_code = 2


def settings_from(given: Mapping[str, Any]) -> Settings:
    """The settings of a command; options that are None were not given.

    Raises click.ClickException, which names what is wrong in one line.
    """
    options = {name: value for name, value in given.items() if value is not None}
    if unknown := misspelt(options):
        said = (f"{name} is no setting, {meant} is" for name, meant in unknown.items())
        raise click.ClickException("; ".join(said))
    try:
        return Settings(**options)
    except ValidationError as exc:
        problems = "; ".join(_problem(error, options) for error in exc.errors())
        raise _refused(exc, options)(problems) from None
    except SettingsError as exc:
        # What should be JSON is not; which one it is stands in the text alone.
        name = next(name for name in Settings.model_fields if f'"{name}"' in str(exc))
        raise click.ClickException(f"VWED_{name.upper()}: is not JSON") from None


def _problem(error: ErrorDetails, options: Mapping[str, Any]) -> str:
    name, *inner = map(str, error["loc"])
    named = f"--{name.replace('_', '-')}" if name in options else f"VWED_{name.upper()}"
    said = error["msg"].removeprefix("Value error, ")
    # Ours say what matters of the value, for it may be secret.
    if error["type"] not in {"value_error", "extra_forbidden"}:
        said = f"{said}, not {error['input']}"
    return ": ".join([named, *([".".join(inner)] if inner else []), said])


def _refused(exc: ValidationError, options: Mapping[str, Any]) -> type[click.ClickException]:
    given = any(error["loc"][0] in options for error in exc.errors())
    return WrongOption if given else click.ClickException
