"""The archive of protos says what the server's own descriptors say."""

import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from grpc_tools import protoc

from protos.archive import write
from protos.generate import IMAGE, ROOT, VALIDATE
from tests.support.process import ENVIRONMENT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("archive")
    with ZipFile(write(where)) as archive:
        archive.extractall(where)
    (root,) = where.glob("vwed-protos-*/")
    return root


def files(image: Path) -> dict[str, FileDescriptorProto]:
    return {file.name: file for file in FileDescriptorSet.FromString(image.read_bytes()).file}


def compiled(tree: Path, to: Path) -> dict[str, FileDescriptorProto]:
    """What protoc makes of all files of a tree, with nothing else to import from."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*.proto"))
    output = ["--include_source_info", f"--descriptor_set_out={to}"]
    assert protoc.main(["protoc", f"-I{tree}", *output, *names]) == 0
    return files(to)


def comments(file: FileDescriptorProto) -> list[tuple[list[int], str, str]]:
    return sorted(
        ([*place.path], place.leading_comments, place.trailing_comments)
        for place in file.source_code_info.location
        if place.leading_comments or place.trailing_comments
    )


def drop_custom_options(message: Message) -> None:
    """The rules of protovalidate are the only ones."""
    for field, value in message.ListFields():
        if field.is_extension:
            message.ClearExtension(field)  # type: ignore[arg-type]  # the stubs want a typed handle
        elif field.message_type:
            for each in value if field.is_repeated else (value,):
                drop_custom_options(each)
            if field.name == "options" and not value.ListFields():
                message.ClearField("options")


def test_validated_is_what_the_server_is_made_of(unpacked: Path, tmp_path: Path) -> None:
    expected, written = files(ROOT / IMAGE), compiled(unpacked / "validated", tmp_path / "image")
    assert files(unpacked / "vwed.binpb") == expected
    assert written.keys() == expected.keys()
    expected[VALIDATE].options.java_package = "build.buf.validate"
    for name, file in written.items():
        if name == VALIDATE:  # it has no comments, and so no places of them
            file.ClearField("source_code_info")
        assert comments(file) == comments(expected[name]), name
        file.ClearField("source_code_info")
        expected[name].ClearField("source_code_info")
        assert file == expected[name], name


def test_plain_is_the_same_without_rules(unpacked: Path, tmp_path: Path) -> None:
    expected, written = files(ROOT / IMAGE), compiled(unpacked / "plain", tmp_path / "image")
    assert written.keys() == expected.keys() - {VALIDATE}
    for name, file in written.items():
        assert comments(file) == comments(expected[name]), name
        file.ClearField("source_code_info")
        expected[name].ClearField("source_code_info")
        if name.startswith("vwed/"):
            drop_custom_options(expected[name])
            if VALIDATE in expected[name].dependency:
                expected[name].dependency.remove(VALIDATE)
        assert file == expected[name], name


def test_the_same_protos_give_the_same_archive(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1"), write(tmp_path / "2")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("tree", ["plain", "validated"])
def test_protoc_takes_it_for_every_language_that_it_has(
    unpacked: Path, tree: str, tmp_path: Path
) -> None:
    root = unpacked / tree
    ours = sorted(
        str(p.relative_to(root)) for p in root.rglob("*.proto") if "protobuf" not in p.parts
    )
    # PHP's generator refuses closed enums, which validate.proto has.
    languages = ["cpp", "java", "csharp", "kotlin", "objc", "pyi", "python", "ruby"]
    languages += ["php"] if tree == "plain" else []
    for language in languages:
        (tmp_path / language).mkdir()
    outputs = [f"--{language}_out={tmp_path / language}" for language in languages]
    subprocess.run(["protoc", f"-I{root}", *outputs, *ours], env=ENVIRONMENT, check=True)
    java = tmp_path / "java"
    assert (java / "vwed" / "v1" / "TaskRecord.java").exists()
    assert (java / "build" / "buf" / "validate").exists() == (tree == "validated")
    assert "namespace Vwed.V1" in (tmp_path / "csharp" / "TaskRecord.cs").read_text()
