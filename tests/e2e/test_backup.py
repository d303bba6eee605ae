"""A backup of the embedded database while it serves, restored for another server."""

import asyncio
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.process import Process
from tests.support.steps import get, running
from vwed.client import connect
from vwed_grpc.cli.main import main


async def command(*words: str | Path, code: int = 0) -> str:
    """What it says, but for what is logged meanwhile."""
    done = await asyncio.to_thread(CliRunner().invoke, main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere"


async def test_from_a_server_that_runs_to_one_that_does_not(
    shared: Process, data_dir: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "a.backup"
    async with connect(shared.address, tenant="backup", bare=True) as client:
        run = await running(client)
    said = await command("backup", backup, "--data-dir", shared.data_dir)
    assert said.startswith(f"{backup}: ")
    os.mkfifo(pipe := tmp_path / "pipe")
    said = await command("backup", pipe, "--data-dir", shared.data_dir, code=1)
    assert said == f"Error: {pipe} is not a file\n"
    said = await command("backup", tmp_path / "b", "--data-dir", data_dir, code=1)
    assert said.startswith(f"Error: there is no database in {data_dir}: ")
    assert not await asyncio.to_thread(data_dir.exists)
    said = await command("restore", backup, "--data-dir", data_dir)
    assert said == f"{backup} is restored\n"
    other = Process(data_dir)
    try:
        await asyncio.to_thread(other.start)
        async with connect(other.address, tenant="backup", bare=True) as client:
            assert (await get(client, run.id)).id == run.id
    finally:
        other.close()
