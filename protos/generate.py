"""Writes generated/ from protos/: messages, typed stubs, and the image that buf and callers read.

protovalidate ships its rules' descriptors, not the .proto file, so the import
`buf/validate/validate.proto` is resolved from the installed package: no network is needed.
"""

import os
import shutil
import sys
import tempfile
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

PROTOS = Path(__file__).parent
GENERATED = PROTOS.parent / "generated"
IMAGE = "vwed.binpb"
WELL_KNOWN = files("grpc_tools") / "_proto"
GOOGLEAPIS = Path(status_pb2.__file__).parents[2]
VALIDATE = "buf/validate/validate.proto"
ERRORS = "google/rpc/error_details.proto"
"""No file of ours imports what errors carry, but callers want to read it."""


def validate_descriptor() -> bytes:
    """A FileDescriptorSet of buf/validate/validate.proto and what it imports."""
    bundle = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(bundle.file.add())
    bundle.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())  # noqa: SLF001 - the package's only copy of it
    return bundle.SerializeToString()


def without_validate(image: bytes) -> bytes:
    """The same files without the import of the rules.

    The rules themselves stay in the options, as bytes that a server reads and nobody else needs to
    understand: so the stubs of a client need no package `buf`.
    """
    files_of = descriptor_pb2.FileDescriptorSet.FromString(image)
    for file in list(files_of.file):
        if file.name == VALIDATE:
            files_of.file.remove(file)
        elif VALIDATE in file.dependency:
            file.dependency.remove(VALIDATE)
    return files_of.SerializeToString()


def generate(target: Path) -> int:
    """Writes everything below `target`; answers protoc's exit code."""
    # protoc finds its plugins on PATH; ours stand beside the interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    messages = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.glob("vwed/**/*.proto"))
    services = [name for name in messages if name.endswith("_service.proto")]
    shutil.rmtree(target / "vwed", ignore_errors=True)
    target.mkdir(exist_ok=True)
    image = target / IMAGE
    with (
        tempfile.NamedTemporaryFile(suffix=".binpb") as rules,
        tempfile.NamedTemporaryFile(suffix=".binpb") as stripped,
    ):
        rules.write(validate_descriptor())
        rules.flush()
        code = _protoc(
            f"-I{PROTOS}",
            f"-I{GOOGLEAPIS}",
            f"-I{WELL_KNOWN}",
            f"--descriptor_set_in={rules.name}",
            f"--descriptor_set_out={image}",
            "--include_imports",
            "--include_source_info",
            *messages,
            ERRORS,
        )
        if code:
            return code
        stripped.write(without_validate(image.read_bytes()))
        stripped.flush()
        read = f"--descriptor_set_in={stripped.name}"
        return _protoc(
            read, f"--python_out={target}", f"--mypy_out=quiet:{target}", *messages
        ) or _protoc(
            read, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services
        )


def _protoc(*arguments: str) -> int:
    return int(protoc.main(["protoc", *arguments]))


def check() -> int:
    """1 if `generated` is not what the protos give now, with the files that differ."""
    with tempfile.TemporaryDirectory() as fresh:
        code = generate(Path(fresh))
        written, wanted = _contents(GENERATED), _contents(Path(fresh))
    stale = sorted(
        str(name)
        for name in written.keys() | wanted.keys()
        if written.get(name) != wanted.get(name)
    )
    for name in stale:
        sys.stderr.write(f"generated/{name} is stale: run `make generate`\n")
    return code or bool(stale)


def _contents(root: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv[1:] else generate(GENERATED))
