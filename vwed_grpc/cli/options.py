"""What was given on the command line, over what the environment says."""

from collections.abc import Mapping
from typing import Any

import click
from pydantic import ValidationError
from pydantic_settings import SettingsError

from vwed_grpc.settings import Settings


def settings_from(given: Mapping[str, Any]) -> Settings:
    """The settings of a command; options that are None were not given.

    Raises click.ClickException, which names what is wrong in one line.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        problems = [
            f"VWED_{str(error['loc'][0]).upper()}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors()
        ]
        raise click.ClickException("; ".join(problems)) from None
    except SettingsError as exc:  # what should be JSON is not
        raise click.ClickException(str(exc)) from None
