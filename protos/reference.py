"""The reference pages of the docs: every RPC, field and value, as the protos describe them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

PACKAGE = ".vwed.v1."
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM, _ONEOF, _VALUE, _METHOD = 2, 3, 4, 8, 2, 2
"""Where things stand in a file's descriptor: comments name them by these numbers."""
_SCALARS = {
    FieldDescriptorProto.TYPE_DOUBLE: "double",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
}


class MissingComment(Exception):
    """A field, value or RPC says nothing."""


@dataclass(frozen=True)
class _File:
    proto: FileDescriptorProto

    @cached_property
    def _comments(self) -> Mapping[tuple[int, ...], str]:
        return {
            tuple(at.path): at.leading_comments.strip() or at.trailing_comments.strip()
            for at in self.proto.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        """In paragraphs; lines that are set in, as those of tables are, stay as they are."""
        lines = [line.removeprefix(" ") for line in self._comments.get(path, "").splitlines()]
        text = ""
        for before, line in pairwise(["", *lines]):
            is_code, was_code = line.startswith("  "), before.startswith("  ")
            text += ("\n" if is_code != was_code else "") + ("  " if is_code else "") + line + "\n"
        return text

    def needed(self, name: str, *path: int) -> str:
        """In a table's cell; raises MissingComment."""
        text = self._comments.get(path, "")
        if not text:
            raise MissingComment(f"{self.proto.name}: {name} has no comment")
        return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def pages(image: bytes) -> dict[str, str]:
    """The name of each page and what it has. Raises MissingComment."""
    files = [
        _File(proto)
        for proto in FileDescriptorSet.FromString(image).file
        if proto.name.startswith("vwed/")
    ]
    found = {
        f"{_title(service.name)}.md": "\n".join(_service(file, number, service))
        for file in files
        for number, service in enumerate(file.proto.service)
    }
    messages = "\n".join(line for file in files for line in _resources(file))
    return found | {
        "resources.md": "# Resources\n\nWhat requests and answers carry, in alphabetical order of"
        f" their files.\n{messages}"
    }


def _title(service: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in service).lstrip("-")


def _service(file: _File, number: int, service: ServiceDescriptorProto) -> Iterator[str]:
    yield f"# {service.name}\n\n{file.comment(_SERVICE, number)}\n"
    messages = {message.name: n for n, message in enumerate(file.proto.message_type)}
    for n, method in enumerate(service.method):
        yield f"## {method.name}\n"
        yield f"{file.needed(method.name, _SERVICE, number, _METHOD, n)}\n"
        given = ("stream of " if method.client_streaming else "") + _linked(method.input_type)
        answer = ("stream of " if method.server_streaming else "") + _linked(method.output_type)
        yield f"Takes {given}, answers {answer}.\n"
        for kind in (method.input_type, method.output_type):
            at = messages.get(kind.removeprefix(PACKAGE))
            if at is not None and file.proto.message_type[at].name.startswith(method.name):
                yield from _message(file, (_MESSAGE, at), file.proto.message_type[at], "###")


def _resources(file: _File) -> Iterator[str]:
    """Messages that are not one RPC's own, and enums."""
    methods = [method.name for service in file.proto.service for method in service.method]
    for n, message in enumerate(file.proto.message_type):
        own = message.name.removesuffix("Request").removesuffix("Response")
        if own not in methods:
            yield from _message(file, (_MESSAGE, n), message, "##")
    for n, enum in enumerate(file.proto.enum_type):
        yield from _enum(file, (_ENUM, n), enum, enum.name, "##")


def _message(
    file: _File, path: tuple[int, ...], message: DescriptorProto, level: str, outer: str = ""
) -> Iterator[str]:
    name = f"{outer}{message.name}"
    yield f"{level} {name}\n"
    if comment := file.comment(*path):
        yield f"{comment}\n"
    maps = {
        f"{PACKAGE}{name}.{nested.name}": nested
        for nested in message.nested_type
        if nested.options.map_entry
    }
    if message.field:
        yield "| field | type | |\n| --- | --- | --- |"
    for n, field in enumerate(message.field):
        told = file.needed(f"{name}.{field.name}", *path, _FIELD, n)
        yield f"| `{field.name}` | {_type(field, maps)} | {_one_of(message, field)}{told} |"
    yield ""
    for n, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(file, (*path, _NESTED, n), nested, level, f"{name}.")
    for n, enum in enumerate(message.enum_type):
        yield from _enum(file, (*path, _NESTED_ENUM, n), enum, f"{name}.{enum.name}", level)


def _one_of(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return f"(one of `{message.oneof_decl[field.oneof_index].name}`) "


def _enum(
    file: _File, path: tuple[int, ...], enum: EnumDescriptorProto, name: str, level: str
) -> Iterator[str]:
    yield f"{level} {name}\n"
    if comment := file.comment(*path):
        yield f"{comment}\n"
    yield "| value | number | |\n| --- | ---: | --- |"
    for n, value in enumerate(enum.value):
        told = file.needed(f"{name}.{value.name}", *path, _VALUE, n)
        yield f"| `{value.name}` | {value.number} | {told} |"
    yield ""


def _type(field: FieldDescriptorProto, maps: Mapping[str, DescriptorProto]) -> str:
    if field.type_name in maps:
        key, value = maps[field.type_name].field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    found = _SCALARS.get(field.type) or _linked(field.type_name)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"list of {found}"
    return f"optional {found}" if field.proto3_optional else found


def _linked(type_name: str) -> str:
    """A type of ours leads to where it stands: what is one RPC's own on its service's page."""
    name = type_name.removeprefix(PACKAGE)
    if name == type_name:
        return f"`{type_name.removeprefix('.')}`"
    outer = name.partition(".")[0]
    page = "" if outer.endswith(("Request", "Response")) else "resources.md"
    return f"[`{name}`]({page}#{name.replace('.', '').lower()})"
