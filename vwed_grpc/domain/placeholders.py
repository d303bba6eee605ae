"""Placeholders in the strings of a template's config.

`${params.NAME}` stands for a parameter; NAME is all up to the next `}`. A string that is nothing
else becomes the parameter's typed value; inside a text it becomes text. `$${params.NAME}` is the
text `${params.NAME}`. Keys, and what a parameter brings in, are not looked at.
"""

import json
from collections.abc import Iterator

from google.protobuf.struct_pb2 import Struct, Value

from vwed_grpc.domain.json_convert import Json, to_value
from vwed_grpc.domain.json_value import member

_OPENING = "${params."
_MARK = _OPENING.encode()


def templated(config: Struct, path: str) -> Iterator[tuple[str, Value]]:
    """Every string that holds a placeholder, literal ones too, with its path.

    The one just given may be changed. Depth first, with the strings of an object or list first.
    """
    root = Value(struct_value=config) if False else None
    del root


def names(text: str) -> list[str]:
    """The parameters that the placeholders of a text name, in their order."""
    return [name for name, _ in _pieces(text) if name is not None]


class Filling:
    """Fills parameters into strings, and tells when what comes in exceeds a number of bytes."""

    def __init__(self, parameters: dict[str, Json], max_bytes: int) -> None:
        self.room = max_bytes
        """Bytes that may still come in; below 0 nothing does any more."""
        self.has_grown = False
        """Whether an object or a list came in, and with it further values and levels."""
        self._parameters = parameters
        self._texts: dict[str, str] = {}
        self._values: dict[str, Value] = {}

    def fill(self, value: Value) -> None:
        """Fills in a string of `templated`, all of whose names are parameters."""
        pieces = list(_pieces(value.string_value))
        if len(pieces) == 1 and pieces[0][0] is not None:
            self._fill_typed(value, pieces[0][0])
        else:
            self._fill_text(value, pieces)

    def _fill_typed(self, value: Value, name: str) -> None:
        if name not in self._values:
            self._values[name] = to_value(self._parameters[name])
        typed = self._values[name]
        self.room -= typed.ByteSize()
        self.has_grown |= isinstance(self._parameters[name], dict | list)
        if self.room >= 0:
            value.CopyFrom(typed)

    def _fill_text(self, value: Value, pieces: list[tuple[str | None, str]]) -> None:
        texts = []
        for name, literal in pieces:
            if name is None:
                texts.append(literal)
                continue
            if name not in self._texts:
                self._texts[name] = _text(self._parameters[name])
            self.room -= len(self._texts[name])
            if self.room < 0:
                return
            texts.append(self._texts[name])
        value.string_value = "".join(texts)


def _text(parameter: Json) -> str:
    if isinstance(parameter, str):
        return parameter
    return json.dumps(parameter, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _pieces(text: str) -> Iterator[tuple[str | None, str]]:
    """The text cut up: a parameter's name and "", or None and what is taken as it stands."""
    done = 0
    while (start := text.find(_OPENING, done)) >= 0 and (end := text.find("}", start)) >= 0:
        if start > done and text[start - 1] == "$":
            yield None, text[done : start - 1] + text[start : end + 1]
        else:
            if start > done:
                yield None, text[done:start]
            yield text[start + len(_OPENING) : end], ""
        done = end + 1
    if done < len(text):
        yield None, text[done:]
