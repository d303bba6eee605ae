"""The client as its users get it: a wheel, in environments that have nothing else."""

import ast
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.process import BIN, ENVIRONMENT, Process

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "client" / "README.md"])
BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
ONLY_UNIX = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
AWAY = re.compile(r"NewConnectionError|NameResolutionError|ReadTimeoutError|ProxyError")
TYPED = """
from typing import assert_type

from vwed.client import connect
from vwed.v1.record_service_pb2 import GetTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus


async def main() -> None:
    async with connect("127.0.0.1:50051") as client:
        run = await client.records.GetTaskRecord(GetTaskRecordRequest(id="r"))
        assert_type(run, TaskRecord)
        assert_type(run.status, TaskRecordStatus.ValueType)
        assert_type(run.labels["line"], str)
        GetTaskRecordRequest(id=3)  # wrong
        run.state  # wrong
        await client.records.GetTaskRun(GetTaskRecordRequest())  # wrong
        await client.records.GetTaskRecord(run)  # wrong
        connect("127.0.0.1:50051", tennant="t")  # wrong
"""
CALLS = """
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


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-c", BUILD, where, cwd=ROOT / "client")
    assert built.returncode == 0, built.stderr
    (path,) = where.iterdir()
    return path


@pytest.fixture(scope="module")
def required(wheel: Path) -> dict[str, str]:
    """Each distribution that it needs, with the oldest version that it takes."""
    with ZipFile(wheel) as packed:
        (metadata,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        said = HeaderParser().parsestr(packed.read(metadata).decode())
    found = (re.match(r"([\w-]+).*>=([\w.]+)", each) for each in said.get_all("Requires-Dist", []))
    return {each[1]: each[2] for each in found if each}


def test_the_wheel_has_the_client_and_the_stubs(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        assert all(packed.read(name) == (ROOT / "client" / name).read_bytes() for name in names)
    # No vwed/__init__.py, so that the server's own packages may have the name too; no `buf`.
    assert {tuple(name.split("/")[:2]) for name in names} == {("vwed", "client"), ("vwed", "v1")}
    assert {"vwed/client/py.typed", "vwed/v1/py.typed"} <= names
    assert "vwed/v1/record_service_pb2_grpc.pyi" in names
    written = (path for path in (ROOT / "client" / "vwed").glob("*/**/*") if path.is_file())
    kept = {str(path.relative_to(ROOT / "client")) for path in written if path.suffix != ".pyc"}
    assert names == kept


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative"
            yield node.module


def test_it_imports_what_it_requires(wheel: Path, required: dict[str, str]) -> None:
    assert required.keys() == {
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
        "types-grpcio",
        "types-protobuf",
    }
    with ZipFile(wheel) as packed:
        sources = [packed.read(name).decode() for name in packed.namelist() if name[-3:] == ".py"]
    names = {name for source in sources for name in imported(source)}
    ours = {name for name in names if name.split(".")[0] == "vwed"}
    assert {".".join(name.split(".")[:2]) for name in ours} <= {"vwed.client", "vwed.v1"}
    roots = {name.split(".")[0] for name in names - ours}
    assert roots - sys.stdlib_module_names <= {"grpc", "google"}
    assert not roots & ONLY_UNIX


def installed(where: Path, *requirements: str) -> Path:
    """The interpreter of a new environment that has these and what they require, nothing else."""
    venv.create(where, symlinks=True, with_pip=False)
    python = where / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-compile", "--quiet")
    done = run(*pip, "--retries", "1", *requirements)
    if done.returncode and AWAY.search(done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def newest(wheel: Path, required: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As new as what is locked."""
    pins = (f"{name}=={version(name)}" for name in required)
    return installed(tmp_path_factory.mktemp("newest"), str(wheel), *pins)


@pytest.fixture(scope="module")
def oldest(wheel: Path, required: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the oldest of everything that it takes."""
    pins = (f"{name}=={lowest}" for name, lowest in required.items())
    return installed(tmp_path_factory.mktemp("oldest"), str(wheel), *pins)


def called(python: Path, server: Process, tenant: str) -> str:
    """What the calls print, in an environment where a warning is an error."""
    done = run(python, "-I", "-W", "error", "-c", CALLS, server.address, tenant)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_newest_runs_it(newest: Path, shared: Process, tenant: str) -> None:
    assert called(newest, shared, tenant) == (
        f"{version('grpcio')} {version('protobuf')} 陈静 TASK_DEF_NOT_FOUND\n"
    )


def test_the_oldest_runs_it(
    oldest: Path, required: dict[str, str], shared: Process, tenant: str
) -> None:
    assert (required["grpcio"], required["protobuf"]) == ("1.75.1", "6.31.1")
    assert called(oldest, shared, tenant) == "1.75.1 6.31.1 陈静 TASK_DEF_NOT_FOUND\n"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples of the pages that need the client alone, and one that says what is typed."""
    where = tmp_path_factory.mktemp("programs")
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        for number, block in enumerate(blocks, 1):
            if "vwed.client" in block and "vwed_grpc" not in block:
                (where / f"{page.parent.name}_{page.stem}_{number}.py").write_text(block)
    assert [*where.iterdir()]
    (where / "typed.py").write_text(TYPED)
    (where / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    return where


def wrong() -> set[str]:
    """Where a checker must find something."""
    return {f"typed.py:{n}" for n, line in enumerate(TYPED.splitlines(), 1) if "# wrong" in line}


def test_mypy(newest: Path, programs: Path) -> None:
    done = run(BIN / "mypy", "--strict", "--python-executable", newest, ".", cwd=programs)
    found = re.findall(r"^(\S+:\d+): error", done.stdout, re.MULTILINE)
    assert {*found} == wrong(), done.stdout + done.stderr


def test_pyright(newest: Path, programs: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no node, which pyright runs in")
    done = run(BIN / "pyright", "--pythonpath", newest, ".", cwd=programs)
    found = re.findall(r"([^/\s]+:\d+):\d+ - error", done.stdout)
    assert {*found} == wrong(), done.stdout + done.stderr
