"""The contract's messages as JSON, with its own names, as `-o json` prints them."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def plain_all(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [plain(message) for message in messages]
