"""A .proto file's text from its descriptor, with the comments that the descriptor has.

What protoc makes of the text is the descriptor again. Groups and editions are not written: no file
that we ship has them.
"""

from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from google.protobuf import text_encoding, text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.message import Message

Path = tuple[int, ...]
Lines = Iterator[str]

_FILE, _MESSAGE, _ENUM, _SERVICE = (
    {field.name: field.number for field in kind.DESCRIPTOR.fields}
    for kind in (FileDescriptorProto, DescriptorProto, EnumDescriptorProto, ServiceDescriptorProto)
)
_MAX_FIELD, _MAX_ENUM = (1 << 29) - 1, (1 << 31) - 1
_LABELS = {
    FieldDescriptorProto.LABEL_REQUIRED: "required ",
    FieldDescriptorProto.LABEL_REPEATED: "repeated ",
}


def proto_text(file: FileDescriptorProto, *, without: str = "") -> str:
    """The text of `file`, but for the import of a file `without`, and the options from there.

    The messages of all other options must be known to the process: the rest is not written.

    Raises:
        ValueError: The file has what is not written.
    """
    return "\n".join(_Printer(file, without).file()).strip() + "\n"


class _Printer:
    def __init__(self, file: FileDescriptorProto, without: str) -> None:
        if file.syntax not in {"", "proto2", "proto3"}:
            raise ValueError(f"{file.name}: {file.syntax} are not written")
        self._file = file
        self._without = without
        self._proto3 = file.syntax == "proto3"
        self._comments = {tuple(place.path): place for place in file.source_code_info.location}

    def file(self) -> Lines:
        file = self._file
        yield from self._commented((_FILE["syntax"],), f'syntax = "{file.syntax or "proto2"}";')
        yield ""
        yield from self._commented((_FILE["package"],), f"package {file.package};")
        yield ""
        public = set(file.public_dependency)
        for index, name in enumerate(file.dependency):
            if name != self._without:
                yield f'import {"public " if index in public else ""}"{name}";'
        yield ""
        for option in self._options(file.options):
            yield f"option {option};"
        for index, service in enumerate(file.service):
            yield from self._service(service, (_FILE["service"], index))
        for index, message in enumerate(file.message_type):
            yield from self._message(message, (_FILE["message_type"], index))
        for index, enum in enumerate(file.enum_type):
            yield from self._enum(enum, (_FILE["enum_type"], index))
        yield from self._extends(file.extension, (_FILE["extension"],))

    def _service(self, service: ServiceDescriptorProto, path: Path) -> Lines:
        body = [f"option {option};" for option in self._options(service.options)]
        for index, method in enumerate(service.method):
            line = f"rpc {method.name}({self._stream(method.input_type, method.client_streaming)})"
            line += f" returns ({self._stream(method.output_type, method.server_streaming)})"
            body += self._commented(
                (*path, _SERVICE["method"], index), line + self._rpc_end(method)
            )
        yield ""
        yield from self._commented(path, *_block(f"service {service.name}", body))

    def _stream(self, type_name: str, streams: bool) -> str:
        return ("stream " if streams else "") + self._name(type_name)

    def _rpc_end(self, method: MethodDescriptorProto) -> str:
        options = " ".join(f"option {option};" for option in self._options(method.options))
        return f" {{ {options} }}" if options else ";"

    def _message(self, message: DescriptorProto, path: Path) -> Lines:
        entries = {each.name: each for each in message.nested_type if each.options.map_entry}
        body = [f"option {option};" for option in self._options(message.options)]
        body += self._reserved(message, _MAX_FIELD)
        for span in message.extension_range:
            declared = self._bracketed(span.options)
            body.append(f"extensions {_span(span.start, span.end - 1, _MAX_FIELD)}{declared};")
        written: set[int] = set()
        for index, field in enumerate(message.field):
            if not field.HasField("oneof_index") or field.proto3_optional:
                entry = entries.get(field.type_name.rpartition(".")[2])
                body += self._field(field, (*path, _MESSAGE["field"], index), entry=entry)
            elif field.oneof_index not in written:
                written.add(field.oneof_index)
                body += self._oneof(message, field.oneof_index, path)
        for index, nested in enumerate(message.nested_type):
            if nested.name not in entries:
                body += self._message(nested, (*path, _MESSAGE["nested_type"], index))
        for index, enum in enumerate(message.enum_type):
            body += self._enum(enum, (*path, _MESSAGE["enum_type"], index))
        body += self._extends(message.extension, (*path, _MESSAGE["extension"]))
        yield ""
        yield from self._commented(path, *_block(f"message {message.name}", body))

    def _oneof(self, message: DescriptorProto, number: int, path: Path) -> Lines:
        oneof = message.oneof_decl[number]
        body = [f"option {option};" for option in self._options(oneof.options)]
        for index, field in enumerate(message.field):
            if field.HasField("oneof_index") and field.oneof_index == number:
                body += self._field(field, (*path, _MESSAGE["field"], index), bare=True)
        where = (*path, _MESSAGE["oneof_decl"], number)
        yield from self._commented(where, *_block(f"oneof {oneof.name}", body))

    def _field(
        self,
        field: FieldDescriptorProto,
        path: Path,
        *,
        entry: DescriptorProto | None = None,
        bare: bool = False,
    ) -> Lines:
        if field.type == FieldDescriptorProto.TYPE_GROUP:
            raise ValueError(f"{self._file.name}: {field.name}: groups are not written")
        if entry is not None:
            key, value = map(self._type, entry.field)
            label, type_name = "", f"map<{key}, {value}>"
        else:
            plain = bare or (self._proto3 and not field.proto3_optional)
            label = _LABELS.get(field.label, "" if plain else "optional ")
            type_name = self._type(field)
        extra = []
        if field.HasField("default_value"):
            extra.append(f"default = {_default(field)}")
        end = self._bracketed(field.options, extra)
        yield from self._commented(path, f"{label}{type_name} {field.name} = {field.number}{end};")

    def _enum(self, enum: EnumDescriptorProto, path: Path) -> Lines:
        body = [f"option {option};" for option in self._options(enum.options)]
        body += self._reserved(enum, _MAX_ENUM)
        for index, value in enumerate(enum.value):
            line = f"{value.name} = {value.number}{self._bracketed(value.options)};"
            body += self._commented((*path, _ENUM["value"], index), line)
        yield ""
        yield from self._commented(path, *_block(f"enum {enum.name}", body))

    def _reserved(self, of: DescriptorProto | EnumDescriptorProto, most: int) -> Lines:
        beyond = 1 if isinstance(of, DescriptorProto) else 0  # the end of an enum's is inclusive
        for span in of.reserved_range:
            yield f"reserved {_span(span.start, span.end - beyond, most)};"
        for name in of.reserved_name:
            yield f'reserved "{name}";'

    def _extends(self, fields: Sequence[FieldDescriptorProto], path: Path) -> Lines:
        for index, field in enumerate(fields):
            yield ""
            body = self._field(field, (*path, index))
            yield from _block(f"extend {self._name(field.extendee)}", body)

    def _type(self, field: FieldDescriptorProto) -> str:
        if field.type_name:
            return self._name(field.type_name)
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()

    def _name(self, full: str) -> str:
        return full.removeprefix(".").removeprefix(f"{self._file.package}.")

    def _bracketed(self, options: Message, extra: Iterable[str] = ()) -> str:
        every = [*extra, *self._options(options)]
        return f" [{', '.join(every)}]" if every else ""

    def _options(self, options: Message) -> Lines:
        fields: Iterable[tuple[Any, Any]] = options.ListFields()  # the stubs lack field.file
        for option, value in fields:
            if option.is_extension and option.file.name == self._without:
                continue
            name = f"({option.full_name})" if option.is_extension else option.name
            for each in value if option.is_repeated else (value,):
                yield f"{name} = {_value(option, each)}"

    def _commented(self, path: Path, first: str, *others: str) -> Lines:
        """The lines of what stands at `path`, with its comments."""
        place = self._comments.get(path)
        if place is not None:
            for detached in place.leading_detached_comments:
                yield from (*_comment(detached), "")
            yield from _comment(place.leading_comments)
            first = "  ".join((first, *_comment(place.trailing_comments)))
        yield from (first, *others)


def _block(head: str, body: Iterable[str]) -> Lines:
    yield f"{head} {{"
    for index, line in enumerate(body):
        if line or index:
            yield f"  {line}".rstrip()
    yield "}"


def _comment(text: str) -> Lines:
    return (f"//{line}" for line in text.splitlines())


def _span(first: int, last: int, most: int) -> str:
    if first == last:
        return str(first)
    return f"{first} to {'max' if last == most else last}"


def _default(field: FieldDescriptorProto) -> str:
    if field.type == FieldDescriptorProto.TYPE_STRING:
        return f'"{text_encoding.CEscape(field.default_value.encode(), as_utf8=True)}"'
    if field.type == FieldDescriptorProto.TYPE_BYTES:  # it is escaped already
        return f'"{field.default_value}"'
    return field.default_value


def _value(option: Any, value: object) -> str:
    out = StringIO()
    text_format.PrintFieldValue(option, value, out, as_one_line=True, as_utf8=True)
    return out.getvalue().strip()
