"""The client as its users get it: a wheel, in environments that have nothing else."""

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.environments import called, installed, run
from tests.support.pages import PAGES, ROOT, texts
from tests.support.process import BIN, Process
from tests.support.wheels import built, kept, packed

ONLY_UNIX = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT / "client", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def required(wheel: Path) -> dict[str, str]:
    """Each distribution that it needs, with the oldest version that it takes."""
    name, release, *_ = wheel.name.split("-")
    with ZipFile(wheel) as archive:
        metadata = archive.read(f"{name}-{release}.dist-info/METADATA").decode()
    said = HeaderParser().parsestr(metadata)
    found = (re.match(r"([\w-]+).*>=([\w.]+)", each) for each in said.get_all("Requires-Dist", []))
    return {each[1]: each[2] for each in found if each}


def test_the_wheel_has_the_client_and_the_stubs(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = packed(wheel)
    # There is neither `buf` nor vwed/__init__.py: others may have packages of these names.
    assert names == kept(ROOT / "client", "vwed/client", "vwed/v1")
    assert {"vwed/client/py.typed", "vwed/v1/py.typed"} <= names.keys()
    assert "vwed/v1/record_service_pb2_grpc.pyi" in names


def imported(source: bytes) -> Iterator[str]:
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
    sources = [content for name, content in packed(wheel).items() if name.endswith(".py")]
    names = {name for source in sources for name in imported(source)}
    ours = {name for name in names if name.split(".")[0] == "vwed"}
    assert {".".join(name.split(".")[:2]) for name in ours} <= {"vwed.client", "vwed.v1"}
    roots = {name.split(".")[0] for name in names - ours}
    assert roots - sys.stdlib_module_names <= {"grpc", "google"}
    assert not roots & ONLY_UNIX


@pytest.fixture(scope="module")
def newest(wheel: Path, required: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As new as what is locked, and what the pages' tests are run with."""
    pins = (f"{name}=={version(name)}" for name in (*required, "pytest", "pytest-asyncio"))
    return installed(tmp_path_factory.mktemp("newest"), str(wheel), *pins)


@pytest.fixture(scope="module")
def oldest(wheel: Path, required: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the oldest of everything that it takes."""
    pins = (f"{name}=={lowest}" for name, lowest in required.items())
    return installed(tmp_path_factory.mktemp("oldest"), str(wheel), *pins)


def test_the_newest_runs_it(newest: Path, shared: Process, tenant: str) -> None:
    assert called(newest, shared.address, tenant) == (
        f"{version('grpcio')} {version('protobuf')} 陈静 TASK_DEF_NOT_FOUND\n"
    )


def test_the_oldest_runs_it(
    oldest: Path, required: dict[str, str], shared: Process, tenant: str
) -> None:
    assert (required["grpcio"], required["protobuf"]) == ("1.75.1", "6.31.1")
    assert called(oldest, shared.address, tenant) == "1.75.1 6.31.1 陈静 TASK_DEF_NOT_FOUND\n"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples of the pages that need the client alone, and one that says what is typed."""
    where = tmp_path_factory.mktemp("programs")
    for page in PAGES:
        blocks = texts(str(page.relative_to(ROOT)), "python")
        if page.name == "executors.md":
            blocks = ["\n\n".join(blocks)]  # it is one program, as the page says
        for number, block in enumerate(blocks, 1):
            if "vwed.client" in block and "vwed_grpc" not in block:
                name = re.sub(r"\W", "_", str(page.relative_to(ROOT)))
                (where / f"{name}_{number}.py").write_text(block)
    assert (where / "docs_clients_md_1.py").exists()
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
