"""Server reflection as clients ask for it: `grpc.reflection.v1`, and the older `v1alpha`."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]  # has no types
    reflection_pb2,
)

Asked = reflection_pb2.ServerReflectionRequest
V1, V1ALPHA = (f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha"))


class Reflection:
    """A client of one of the two; their messages are the same on the wire."""

    def __init__(self, channel: grpc.aio.Channel, service: str) -> None:
        self._call = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=Asked.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )

    async def ask(self, **question: Any) -> Any:
        (answer,) = [answer async for answer in self._call(iter([Asked(**question)]), timeout=10)]
        return answer

    async def files(self, **question: Any) -> dict[str, FileDescriptorProto]:
        answer = (await self.ask(**question)).file_descriptor_response
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_proto)
        return {file.name: file for file in files}


@pytest.fixture(params=[V1, V1ALPHA])
async def reflection(target: str, request: pytest.FixtureRequest) -> AsyncIterator[Reflection]:
    async with grpc.aio.insecure_channel(target) as channel:
        yield Reflection(channel, request.param)


async def test_both_versions_list_both(reflection: Reflection) -> None:
    listed = (await reflection.ask(list_services="")).list_services_response.service
    assert {service.name for service in listed} == {
        "vwed.v1.TaskDefService",
        "vwed.v1.RecordService",
        "vwed.v1.CacheService",
        "grpc.health.v1.Health",
        "grpc.channelz.v1.Channelz",
        V1,
        V1ALPHA,
    }


async def test_all_that_is_listed_can_be_built_from_its_files(reflection: Reflection) -> None:
    listed = (await reflection.ask(list_services="")).list_services_response.service
    for service in (each.name for each in listed):
        files = await reflection.files(file_containing_symbol=service)
        pool = DescriptorPool()

        def add(name: str, files: Any = files, pool: Any = pool) -> None:
            file = files.pop(name, None)
            if file is not None:
                for dependency in file.dependency:
                    add(dependency)
                pool.Add(file)

        for name in [*files]:
            add(name)
        methods = pool.FindServiceByName(service).methods_by_name
        assert methods
        for method in methods:
            assert await reflection.files(file_containing_symbol=f"{service}.{method}")


@pytest.mark.parametrize(
    "symbol",
    [
        "vwed.v1.RecordService.WatchTaskRecord",
        "vwed.v1.TaskRecord",
        "vwed.v1.TaskRecord.status",
        "vwed.v1.TASK_RECORD_STATUS_RUNNING",
    ],
)
async def test_files_come_with_their_comments(reflection: Reflection, symbol: str) -> None:
    files = await reflection.files(file_containing_symbol=symbol)
    assert any(name.startswith("vwed/") for name in files)
    for name, file in files.items():
        comments = [place.leading_comments for place in file.source_code_info.location]
        assert any(comments) or not name.startswith("vwed/"), name


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "vwed.v1.RecordService.Nothing"},
        {"file_containing_symbol": "vwed.v1.Nothing"},
        {"file_containing_symbol": "Nothing"},
        {"file_containing_symbol": ""},
        {"file_containing_symbol": "grpc.reflection.v1.Nothing"},
        {"file_by_filename": "vwed/v1/nothing.proto"},
        {"all_extension_numbers_of_type": "vwed.v1.Nothing"},
        {
            "file_containing_extension": {
                "containing_type": "google.protobuf.FieldOptions",
                "extension_number": 1,
            }
        },
    ],
    ids=str,
)
async def test_what_is_not_there_is_not_found(
    reflection: Reflection, question: dict[str, Any]
) -> None:
    answer = await reflection.ask(**question)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_extensions_are_found(reflection: Reflection) -> None:
    options = "google.protobuf.FieldOptions"
    answer = await reflection.ask(all_extension_numbers_of_type=options)
    numbers = answer.all_extension_numbers_response.extension_number
    assert 1159 in numbers  # buf.validate.field
    files = await reflection.files(
        file_containing_extension={"containing_type": options, "extension_number": 1159}
    )
    assert "buf/validate/validate.proto" in files
    renamed = await reflection.ask(
        all_extension_numbers_of_type="grpc.reflection.v1.ServerReflectionRequest"
    )
    assert not renamed.all_extension_numbers_response.extension_number
