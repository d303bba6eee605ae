"""The reference pages say all that the protos say, and refuse what says nothing."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from protos.generate import IMAGE, ROOT
from protos.reference import MissingComment, pages

SERVICES = [
    next(iter(file.DESCRIPTOR.services_by_name.values()))
    for file in (task_def_service_pb2, record_service_pb2, cache_service_pb2)
]


def image() -> bytes:
    return Path(ROOT / IMAGE).read_bytes()


def test_each_rpc_and_each_field_has_its_line() -> None:
    found = pages(image())
    for service, page in zip(
        SERVICES, ("task-def-service.md", "record-service.md", "cache-service.md"), strict=True
    ):
        for method in service.methods:
            assert f"\n## {method.name}\n" in found[page]
            for message in (method.input_type, method.output_type):
                text = "".join(found.values())
                if message.full_name.startswith("vwed."):
                    assert f"# {message.name}\n" in text
                    assert all(f"| `{field.name}` |" in text for field in message.fields)


def test_tables_in_comments_stay_tables() -> None:
    assert "\n\n    PENDING      -> RUNNING (Start, Claim)" in pages(image())["resources.md"]


@pytest.mark.parametrize("place", [(4, 0, 2, 0), (6, 0, 2, 0)])
def test_what_says_nothing_is_refused(place: tuple[int, ...]) -> None:
    files = FileDescriptorSet.FromString(image())
    file = next(one for one in files.file if one.name == "vwed/v1/cache_service.proto")
    for said in list(file.source_code_info.location):
        if tuple(said.path) == place:
            said.leading_comments = said.trailing_comments = ""
    with pytest.raises(MissingComment, match=r"vwed/v1/cache_service\.proto"):
        pages(files.SerializeToString())
