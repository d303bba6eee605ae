"""Writes dist/vwed-protos-VERSION.zip: the protos with all that they import, for any language.

`vwed.binpb` is all of them as a FileDescriptorSet, with comments, for tools that take one.
`validated/` has the rules that callers may check before they send; `plain/` is the same without
them, for languages that have no protovalidate.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from google.protobuf.descriptor_pb2 import FileDescriptorSet

import protos.rules  # noqa: F401 - makes their options known
from protos.generate import GOOGLEAPIS, IMAGE, PROTOS, ROOT, VALIDATE, WELL_KNOWN
from protos.proto_text import proto_text

DIST = ROOT / "dist"


def contents() -> Iterator[tuple[str, str | bytes]]:
    """The path and the content of each file."""
    image = (ROOT / IMAGE).read_bytes()
    yield IMAGE.name, image
    for file in FileDescriptorSet.FromString(image).file:
        if file.name == VALIDATE:
            # The Python package's copy has another name; protovalidate's Java library has this one.
            file.options.java_package = "build.buf.validate"
            yield f"validated/{file.name}", proto_text(file)
        elif (PROTOS / file.name).exists():
            yield f"validated/{file.name}", (PROTOS / file.name).read_text()
            yield f"plain/{file.name}", proto_text(file, without=VALIDATE)
        else:
            root = WELL_KNOWN if file.name.startswith("google/protobuf/") else GOOGLEAPIS
            for tree in ("validated", "plain"):
                yield f"{tree}/{file.name}", (root / file.name).read_text()


def write(target: Path) -> Path:
    """The archive in `target`; the same protos always give the same bytes."""
    name = f"vwed-protos-{version('vwed-grpc')}"
    target.mkdir(exist_ok=True)
    with ZipFile(target / f"{name}.zip", "w", ZIP_DEFLATED) as archive:
        for path, content in sorted(contents()):
            archive.writestr(ZipInfo(f"{name}/{path}"), content, ZIP_DEFLATED)
    return target / f"{name}.zip"


if __name__ == "__main__":
    sys.stdout.write(f"{write(Path(sys.argv[1]) if sys.argv[1:] else DIST)}\n")
