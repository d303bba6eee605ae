"""Server reflection under both of its names, with the comments of the protos.

`grpcio-reflection` serves `v1alpha` alone, of files whose comments the generated code has dropped.
`v1` is the same protocol, message for message, in another package.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from pathlib import Path

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]  # has no types
    reflection,
    reflection_pb2,
)

from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.methods import Requests
from vwed_grpc.rpc.validation import M

V1ALPHA: str = reflection.SERVICE_NAME
V1 = V1ALPHA.replace(".v1alpha.", ".v1.")
_IMAGE = Path(__file__).with_name("vwed.binpb")
"""What the protos are with their comments and rules, as `make generate` wrote it."""


class Reflection:
    """The servicer of both versions; it lists `services` (full names)."""

    def __init__(self, services: Collection[str]) -> None:
        self._servicer = reflection.aio.ReflectionServicer(services, pool=_Pool(services))

    async def ServerReflectionInfo(  # noqa: N802 - the RPC's name
        self, requests: Requests[reflection_pb2.ServerReflectionRequest], call: Call
    ) -> AsyncIterator[Message]:
        """Answers one request after another."""
        del call
        async for answer in self._servicer.ServerReflectionInfo(_good(requests), None):
            yield answer


async def _good(requests: Requests[M]) -> AsyncIterator[M]:
    """Raises InvalidArgument for a bad one."""
    async for request, problem in requests:
        if problem is not None:
            raise problem
        yield request


class _Pool:
    """What the servicer asks of a pool.

    The default one knows neither comments, rules, methods nor v1.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        self._protos: dict[str, FileDescriptorProto] = {}
        image = FileDescriptorSet.FromString(_IMAGE.read_bytes()).file
        for file in image:
            _name_as_the_protos_do(file.message_type)
        for proto in (*image, _v1()):
            self._add(proto)
        for service in {*services} - {V1}:
            self._add_with_imports(descriptor_pool.Default().FindFileContainingSymbol(service))

    def FindFileByName(self, name: str) -> "_File":  # noqa: N802 - a pool's method
        return _File(self, self._protos[name])

    def FindFileContainingSymbol(self, symbol: str) -> "_File":  # noqa: N802 - a pool's method
        try:
            file = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(name)
            file = service.methods_by_name[method].containing_service.file
        return self.FindFileByName(file.name)

    def FindMessageTypeByName(self, name: str) -> Descriptor:  # noqa: N802 - a pool's method
        return self._pool.FindMessageTypeByName(name)

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:  # noqa: N802 - a pool's method
        return self._pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> Sequence[FieldDescriptor]:  # noqa: N802 - a pool's method
        return self._pool.FindAllExtensions(message)

    def _add_with_imports(self, file: FileDescriptor) -> None:
        if file.name not in self._protos:
            for imported in file.dependencies:
                self._add_with_imports(imported)
            proto = FileDescriptorProto()
            file.CopyToProto(proto)
            self._add(proto)

    def _add(self, proto: FileDescriptorProto) -> None:
        self._pool.Add(proto)
        self._protos[proto.name] = proto


class _File:
    """What the servicer asks of a file's descriptor."""

    def __init__(self, pool: _Pool, proto: FileDescriptorProto) -> None:
        self.name = proto.name
        self._pool = pool
        self._proto = proto

    @property
    def dependencies(self) -> list["_File"]:
        return [self._pool.FindFileByName(name) for name in self._proto.dependency]

    def CopyToProto(self, proto: FileDescriptorProto) -> None:  # noqa: N802 - a descriptor's method
        proto.CopyFrom(self._proto)


def _name_as_the_protos_do(messages: Iterable[DescriptorProto]) -> None:
    """Tools print fields by their JSON names if these are said, else by the contract's names."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        _name_as_the_protos_do(message.nested_type)


def _v1() -> FileDescriptorProto:
    proto = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(proto)
    text = str(proto).replace("grpc_reflection/v1alpha", "grpc/reflection/v1")
    return text_format.Parse(text.replace(".v1alpha", ".v1"), FileDescriptorProto())
