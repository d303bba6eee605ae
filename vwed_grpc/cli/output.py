"""`-o`: for people, or JSON for programs."""

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: the contract's fields and names; of several things an array.",
)
Printed = Message | Mapping[str, Any] | Sequence[Any]


def print_json(content: Printed, *, indent: int | None = 2) -> None:
    """As it is, whatever the terminal's width; `indent` None: on one line."""
    click.echo(dumps(_plain(content), indent=indent, ensure_ascii=False))


def _plain(content: Any) -> Any:
    match content:
        case Mapping():
            return {key: _plain(value) for key, value in content.items()}
        case list() | tuple():
            return [_plain(one) for one in content]
        case _:
            return MessageToDict(content, preserving_proto_field_name=True)
