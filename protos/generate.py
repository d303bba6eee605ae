"""Writes what is made of protos/: messages, typed stubs, and the image.

The image is all protos in one FileDescriptorSet, with comments and rules: reflection serves it, and
buf and other languages' tools read it.

protovalidate ships its rules' descriptors, not the .proto file, so the import
`buf/validate/validate.proto` is resolved from the installed package: no network is needed.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    duration_pb2,
    field_mask_pb2,
    timestamp_pb2,
)
from google.rpc import status_pb2  # type: ignore[import-untyped]  # has no types
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

from protos.reference import pages

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent
STUBS = Path("generated/vwed/v1")
IMAGE = Path("vwed_grpc/rpc/vwed.binpb")
REFERENCE = Path("docs/reference")
WELL_KNOWN = files("grpc_tools") / "_proto"
GOOGLEAPIS = Path(status_pb2.__file__).parents[2]
VALIDATE = "buf/validate/validate.proto"
ERRORS = "google/rpc/error_details.proto"
"""No file of ours imports what errors carry, but callers want to read it."""


def validate_descriptor() -> descriptor_pb2.FileDescriptorSet:
    """`buf/validate/validate.proto`, after what it imports."""
    bundle = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(bundle.file.add())
    bundle.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())  # noqa: SLF001 - the package's only copy of it
    return bundle


def without_validate(image: bytes) -> descriptor_pb2.FileDescriptorSet:
    """The same files without the import of the rules.

    The rules stay where they are, as options of a number that only the server looks up. So the
    stubs of a client need no package `buf`.
    """
    stripped = descriptor_pb2.FileDescriptorSet.FromString(image)
    for file in list(stripped.file):
        if file.name == VALIDATE:
            stripped.file.remove(file)
        elif VALIDATE in file.dependency:
            file.dependency.remove(VALIDATE)
    return stripped


def generate(root: Path) -> int:
    """Writes everything below `root`; answers protoc's exit code."""
    # protoc finds its plugins on PATH; ours stand beside the interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    messages = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.glob("vwed/**/*.proto"))
    services = [name for name in messages if name.endswith("_service.proto")]
    stubs, image = root / STUBS, root / IMAGE
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir(parents=True)
    image.parent.mkdir(parents=True, exist_ok=True)
    with _file_of(validate_descriptor()) as rules:
        code = _protoc(
            f"-I{PROTOS}",
            f"-I{GOOGLEAPIS}",
            f"-I{WELL_KNOWN}",
            f"--descriptor_set_in={rules}",
            f"--descriptor_set_out={image}",
            "--include_imports",
            "--include_source_info",
            *messages,
            ERRORS,
        )
    if code:
        return code
    reference = root / REFERENCE
    shutil.rmtree(reference, ignore_errors=True)
    reference.mkdir(parents=True)
    for name, text in pages(image.read_bytes()).items():
        (reference / name).write_text(text, encoding="utf-8")
    source = stubs.parents[1]
    with _file_of(without_validate(image.read_bytes())) as protos:
        code = _protoc(
            f"--descriptor_set_in={protos}",
            f"--python_out={source}",
            f"--mypy_out=quiet:{source}",
            *messages,
        ) or _protoc(
            f"--descriptor_set_in={protos}",
            f"--grpc_python_out={source}",
            f"--mypy_grpc_out=quiet:{source}",
            *services,
        )
    (stubs / "py.typed").touch()
    return code


def _protoc(*arguments: str) -> int:
    return int(protoc.main(["protoc", *arguments]))


@contextmanager
def _file_of(descriptors: descriptor_pb2.FileDescriptorSet) -> Iterator[str]:
    with tempfile.NamedTemporaryFile(suffix=".binpb") as file:
        file.write(descriptors.SerializeToString())
        file.flush()
        yield file.name


def check() -> int:
    """1 if something is not what the protos give now, with the files that differ."""
    with tempfile.TemporaryDirectory() as fresh:
        code = generate(Path(fresh))
        written, wanted = _contents(ROOT), _contents(Path(fresh))
    stale = sorted(
        str(name)
        for name in written.keys() | wanted.keys()
        if written.get(name) != wanted.get(name)
    )
    for name in stale:
        sys.stderr.write(f"{name} is stale: run `make generate`\n")
    return code or bool(stale)


def _contents(root: Path) -> dict[Path, bytes]:
    """Of all that `generate` writes."""
    return {
        path.relative_to(root): path.read_bytes()
        for path in (root / IMAGE, *(root / STUBS).rglob("*"), *(root / REFERENCE).iterdir())
        if path.is_file() and path.suffix != ".pyc"
    }


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv[1:] else generate(ROOT))
