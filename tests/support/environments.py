"""Environments of their own, with what is installed there from wheels and nothing of this tree."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.process import ENVIRONMENT

_ROOT = Path(__file__).parents[2]
_AWAY = re.compile(r"NewConnectionError|NameResolutionError|ReadTimeoutError|ProxyError")
_CALLS = """
import asyncio, importlib, pkgutil, sys
from google.protobuf import __version__ as protobuf
import grpc, vwed.client
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest, GetTaskDefRequest

for module in pkgutil.walk_packages(vwed.client.__path__, "vwed.client."):
    importlib.import_module(module.name)

async def main(target, tenant):
    async with vwed.client.connect(target, tenant=tenant, actor="陈静") as client:
        made = await client.definitions.CreateTaskDef(
            CreateTaskDefRequest(task_def={"name": "n", "config": {"speed": 0.5}}))
        read = await client.definitions.GetTaskDef(GetTaskDefRequest(id=made.id))
        assert read == made
        try:
            await client.definitions.GetTaskDef(GetTaskDefRequest(id="nowhere"))
        except grpc.aio.AioRpcError as error:
            reason = vwed.client.error_info(error).reason
    print(grpc.__version__, protobuf, read.created_by, reason)

asyncio.run(main(*sys.argv[1:]))
"""


def run(*command: str | Path, cwd: Path = _ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def installed(where: Path, *requirements: str) -> Path:
    """The interpreter of a new environment that has these and what they require, nothing else."""
    venv.create(where, symlinks=True, with_pip=False)
    python = where / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-compile", "--quiet")
    done = run(*pip, "--retries", "1", "--timeout", "30", *requirements)
    if done.returncode and _AWAY.search(done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return python


def called(python: Path, address: str, tenant: str) -> str:
    """What the calls print, in an environment where a warning is an error."""
    done = run(python, "-I", "-W", "error", "-c", _CALLS, address, tenant)
    assert done.returncode == 0, done.stderr
    return done.stdout
