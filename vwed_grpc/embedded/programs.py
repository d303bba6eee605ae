"""PostgreSQL's own programs, of the server's version: those in PATH, or else of the wheel."""

import re
import shutil
import subprocess
from pathlib import Path

from vwed_grpc.embedded.daemon import EmbeddedServerError
from vwed_grpc.embedded.postgres import program


class ProgramMissingError(RuntimeError):
    """There is no such program of the server's version; the message is one line for people."""


def program_for(name: str, major: int) -> str:
    """The path of a program of this major version, which must be the server's.

    An older one refuses the server, and what a newer one writes an older server may not take. Those
    of PATH come first: the wheel's know no TLS.
    Raises ProgramMissingError.
    """
    found = []
    for path in (shutil.which(name), _of_the_wheel(name)):
        if path is not None:
            version = _version(path)
            if version == major:
                return path
            found.append(f"{path} is of {version}")
    raise ProgramMissingError(
        f"the server is PostgreSQL {major}, so {name} {major} must be in PATH"
        f" ({'; '.join(found) or 'there is none'})"
    )


def _of_the_wheel(name: str) -> str | None:
    try:
        path = program(name)
    except EmbeddedServerError:
        return None
    return path if Path(path).exists() else None


def _version(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - PostgreSQL's own
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else 0
