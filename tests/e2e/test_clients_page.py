"""The commands and examples of docs/clients.md, as they are pasted, each in a fresh directory."""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from vwed.v1.record_service_pb2 import CancelTaskRecordRequest, ListTaskRecordsRequest
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest

from protos.archive import write
from tests.support.calls import create_def
from tests.support.process import ENVIRONMENT, Process
from vwed.client import connect

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
SECTIONS = {
    head: re.findall(r"^```(?:sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for head, text in re.findall(r"^##+ (.*?)\n(.*?)(?=^##+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
PLUGINS = {"Java": ["protoc-gen-grpc-java"], "Go": ["protoc-gen-go", "protoc-gen-go-grpc"]}
"""What no wheel has; for those who have them installed."""
AWAY = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def directory(archive: Path, tmp_path: Path) -> Path:
    """Fresh, with the archive, unpacked as the page does it."""
    shutil.copy(archive, tmp_path)
    with ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    (tmp_path / archive.stem).rename(tmp_path / "protos")
    return tmp_path


def paste(block: str, where: Path, address: str = "") -> str:
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", block.replace("127.0.0.1:50051", address)],
        cwd=where,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def npm_installed(block: str, directory: Path, cache: pytest.Cache) -> str:
    """The block without its first line, `npm install …`, which is done once for all test runs."""
    install, _, rest = block.partition("\n")
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    packages = shlex.split(install)
    assert packages[:2] == ["npm", "install"]
    store = cache.mkdir("npm-" + "-".join(re.sub(r"\W", "", name) for name in packages[2:]))
    if not (store / "done").exists():
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-timeout=60000"]
        done = subprocess.run(
            [*packages, *quiet], cwd=store, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode and AWAY.search(done.stderr):
            pytest.skip(f"npm's registry cannot be reached: {done.stderr.splitlines()[0]}")
        assert done.returncode == 0, done.stderr
        (store / "done").touch()
    (directory / "node_modules").symlink_to(store / "node_modules")
    return rest


def test_the_archive_is_unpacked(archive: Path, tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("there is no unzip")
    shutil.copy(archive, tmp_path)
    (block,) = SECTIONS["Other languages"]
    paste(block, tmp_path)
    assert {path.name for path in (tmp_path / "protos").iterdir()} == {
        "plain",
        "validated",
        "vwed.binpb",
    }


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("Java", ["vwed/v1/TaskRecord.java", "vwed/v1/RecordServiceGrpc.java"]),
        ("Go", ["vwed/v1/task_record.pb.go", "vwed/v1/record_service_grpc.pb.go"]),
        ("C#", ["TaskRecord.cs", "RecordService.cs"]),
        ("C++", ["vwed/v1/task_record.pb.h", "google/rpc/error_details.pb.cc"]),
    ],
)
def test_a_compiler(language: str, written: list[str], directory: Path) -> None:
    for plugin in PLUGINS.get(language, []):
        if shutil.which(plugin) is None:
            pytest.skip(f"there is no {plugin}")
    (block,) = SECTIONS[language]
    paste(block, directory)
    assert {name for name in written if [*directory.glob(f"*/{name}")]} == {*written}


def test_python_without_the_package(directory: Path) -> None:
    (block,) = SECTIONS["Python, without the package of this project"]
    install, _, block = block.partition("\n")
    assert install.startswith("pip install ")  # they are installed
    paste(block, directory)
    program = "from vwed.v1 import record_service_pb2_grpc as made; print(made.__file__)"
    block = f'PYTHONPATH=python python -c "{program}"'
    assert paste(block, directory) == (
        f"{directory / 'python' / 'vwed' / 'v1' / 'record_service_pb2_grpc.py'}\n"
    )


def test_typescript(directory: Path, pytestconfig: pytest.Config) -> None:
    (block,) = SECTIONS["TypeScript"]
    paste(npm_installed(block, directory, pytestconfig.cache), directory)
    text = (directory / "ts" / "vwed" / "v1" / "task_record_pb.ts").read_text()
    assert "labels: { [key: string]: string };" in text
    assert (
        "export const RecordService:"
        in (directory / "ts" / "vwed" / "v1" / "record_service_pb.ts").read_text()
    )


async def has_the_definition(server: Process) -> None:
    async with connect(server.address, tenant="plant-2", bare=True) as client:
        if not (await client.definitions.ListTaskDefs(ListTaskDefsRequest())).task_defs:
            await create_def(client, name="托盘配送")


async def test_node(shared: Process, directory: Path, pytestconfig: pytest.Config) -> None:
    await has_the_definition(shared)
    (block,) = SECTIONS["Node, without generated code"]
    block = npm_installed(block, directory, pytestconfig.cache)
    said = await asyncio.to_thread(paste, block, directory, shared.address)
    # An object, not a list of entries.
    assert said == "陈静 TASK_RECORD_STATUS_PENDING { line: 'A' }\n"


async def test_python(shared: Process) -> None:
    await has_the_definition(shared)
    (program,) = SECTIONS["Python"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program.replace("127.0.0.1:50051", shared.address),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert await process.stdout.readline() == b"1 task_record\n"
    async with connect(shared.address, tenant="plant-2", bare=True) as client:
        newest = (await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records[0]
        assert newest.created_by == "陈静"
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=newest.id))
    assert await process.stdout.read() == b"2 task_record\n"
    assert await process.wait() == 0


def test_a_descriptor_set(directory: Path) -> None:
    (block,) = SECTIONS["A tool that takes a FileDescriptorSet"]
    assert "map<string, string> metadata = 3;" in paste(block, directory)


def test_discovery(shared: Process, tmp_path: Path) -> None:
    (block,) = SECTIONS["Discovery"]
    said = paste(block, tmp_path, shared.address)
    assert "grpc.reflection.v1.ServerReflection\n" in said
    assert "returns ( stream .vwed.v1.WatchTaskRecordResponse );" in said
