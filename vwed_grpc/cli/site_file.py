"""A site's definitions as a file: one JSON object a line, which git shows the changes of."""

import json
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from vwed.v1.task_def_service_pb2 import ExportTaskDefsResponse, ImportTaskDefsRequest

MAX_MESSAGE = 4 << 20
"""What a server takes."""
MAX_LINE = 16 << 20
"""No item that a server takes is longer as JSON, even if it is all control characters."""
_MAX_TOLD = 200
_EXACT = 1e16
"""Below it a double without a fraction is written as an integer, which is equal."""


class Line(NamedTuple):
    """A line that is not empty: an item, or what is wrong with it."""

    number: int
    bytes: int
    item: ImportTaskDefsRequest | None
    problem: str


def written(response: ExportTaskDefsResponse) -> bytes:
    """The line of an item: its keys sorted, so that the same item is always the same line."""
    item = MessageToDict(response, preserving_proto_field_name=True)
    return json.dumps(_plain(item), ensure_ascii=False, sort_keys=True).encode() + b"\n"


def read(file: IO[bytes]) -> Iterator[Line]:
    """The lines of a file, never more than one of them in memory."""
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        size = len(raw)
        if size > MAX_LINE:
            while not raw.endswith(b"\n") and (raw := file.readline(MAX_LINE)):
                size += len(raw)
            yield Line(number, size, None, f"is longer than {MAX_LINE >> 20} MiB")
        elif raw.strip():
            yield _parsed(number, raw)


def _parsed(number: int, raw: bytes) -> Line:
    response = ExportTaskDefsResponse()
    try:
        item = json.loads(raw.decode(), object_pairs_hook=_object, parse_constant=_no_number)
        if not isinstance(item, dict):
            return Line(number, len(raw), None, "is no item: it is no JSON object")
        ParseDict(item, response)
    except UnicodeDecodeError:
        return Line(number, len(raw), None, "is not UTF-8")
    except (ParseError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        if isinstance(error, json.JSONDecodeError):  # its own text has a line number, always 1
            said = f"{error.msg} at column {error.colno}"
        return Line(number, len(raw), None, f"is no item: {said[:_MAX_TOLD]}")
    if response.ByteSize() > MAX_MESSAGE:
        return Line(number, len(raw), None, f"is larger than {MAX_MESSAGE >> 20} MiB")
    match response.WhichOneof("item"):
        case "task_template":
            request = ImportTaskDefsRequest(task_template=response.task_template)
        case "task_def":
            request = ImportTaskDefsRequest(task_def=response.task_def)
        case _:
            return Line(number, len(raw), None, "holds neither a task_template nor a task_def")
    return Line(number, len(raw), request, "")


def _plain(item: Any) -> Any:
    """Numbers as people write them: 3, not 3.0. Of those -0.0 alone would be another one then."""
    match item:
        case dict():
            return {key: _plain(value) for key, value in item.items()}
        case list():
            return [_plain(value) for value in item]
        case float() if item.is_integer() and abs(item) < _EXACT and str(item) != "-0.0":
            return int(item)
        case _:
            return item


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
