"""Placeholders in the strings of a template's config.

`${params.NAME}` stands for a parameter; NAME is all up to the next `}`. A string that is nothing
else becomes the parameter's typed value; inside a text it becomes text. `$${params.NAME}` is the
text `${params.NAME}`. Keys, and what a parameter brings in, are not looked at.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from vwed_grpc.domain.json_convert import Json, to_value
from vwed_grpc.domain.json_value import MAX_BYTES, member

Place: TypeAlias = "tuple[Place, str | int] | None"
"""The steps from a config to a value, last one first: a path is written only where it is told."""

_OPENING = "${params."
_MARK = _OPENING.encode()


class TooLargeError(Exception):
    """What was filled in is more than a config may have."""


def templated(config: Struct) -> Iterator[tuple[Place, Value]]:
    """Every string with the beginning of a placeholder, in no order; it may be changed on the way.

    Objects in lists, as blocks are, are searched in C and passed over if there is none in them.
    """
    if _MARK not in config.SerializeToString():
        return
    containers: list[tuple[Place, Any]] = [(None, config)]
    while containers:
        place, container = containers.pop()
        in_list = isinstance(container, ListValue)
        values = container.values if in_list else container.fields
        for step in range(len(values)) if in_list else values:
            value = values[step]
            if text := value.string_value:
                if _OPENING in text:
                    yield (place, step), value
            elif value.HasField("struct_value"):
                if not in_list or _MARK in value.SerializeToString():
                    containers.append(((place, step), value.struct_value))
            elif value.HasField("list_value"):
                containers.append(((place, step), value.list_value))


def path_of(place: Place, root: str) -> str:
    """A place of `templated`, as paths in requests are written."""
    if place is None:
        return root
    around, step = place
    return member(path_of(around, root), step)


def names(text: str) -> list[str]:
    """The parameters that the placeholders of a text name, in their order."""
    return [name for name, _ in _pieces(text) if name is not None]


class Filling:
    """Fills parameters into a config, and stops where they alone are more than it may have."""

    def __init__(self, parameters: Mapping[str, Json]) -> None:
        self.has_grown = False
        """Whether an object or a list came in, and with it further values and levels."""
        self._parameters = parameters
        self._filled: dict[str, Value | list[str]] = {}
        self._room = MAX_BYTES

    def fill(self, value: Value) -> list[str]:
        """Fills in a string of `templated`, or answers the names that are no parameters.

        Raises TooLargeError.
        """
        text = value.string_value
        filled = self._filled.get(text)
        if filled is None:
            pieces = list(_pieces(text))
            lacking = {name for name, _ in pieces if name is not None} - self._parameters.keys()
            filled = sorted(lacking) if lacking else self._made_of(pieces)
            self._filled[text] = filled
        if isinstance(filled, list):
            return filled
        self._room -= filled.ByteSize()
        if self._room < 0:
            raise TooLargeError
        value.CopyFrom(filled)
        return []

    def _made_of(self, pieces: list[tuple[str | None, str]]) -> Value:
        if len(pieces) == 1 and (name := pieces[0][0]) is not None:
            parameter = self._parameters[name]
            self.has_grown |= isinstance(parameter, dict | list)
            return to_value(parameter)
        room = self._room
        texts = []
        for name, literal in pieces:
            texts.append(literal if name is None else _as_text(self._parameters[name]))
            room -= len(texts[-1])
            if room < 0:
                raise TooLargeError
        return Value(string_value="".join(texts))


def _as_text(parameter: Json) -> str:
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
