"""The commands and examples of docs/clients.md, as they are pasted, each in a fresh directory."""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from zipfile import ZipFile

import grpc
import pytest
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import CancelTaskRecordRequest, ListTaskRecordsRequest
from vwed.v1.record_service_pb2_grpc import RecordServiceStub
from vwed.v1.task_record_pb2 import TaskRecordStatus

from protos.archive import write
from tests.support.calls import create_def, create_run, finish_run, json_object, start_run
from tests.support.certificates import Authority
from tests.support.pages import sections, texts
from tests.support.process import ENVIRONMENT, Process
from tests.support.proxy import Proxy
from tests.support.tokens import token, write_keys
from tests.support.waiting import PATIENCE, until_true
from vwed.client import Client, as_dict, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

SECTIONS = sections("docs/clients.md", "sh", "python", "ts", "json")
PLUGINS = {"Java": ["protoc-gen-grpc-java"], "Go": ["protoc-gen-go", "protoc-gen-go-grpc"]}
"""What no wheel has; for those who have them installed."""
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
STATION = {"name": "station", "type": "string"}
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
    """The block without its line `npm install …`, which is done once for all test runs."""
    before, install, after = re.split(r"^(npm install .*)\n", block, flags=re.MULTILINE)
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    packages = shlex.split(install)
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
    return before + after


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


class Program:
    """An example that runs: the lines that it says, one at a time or what is left of them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdout
        self._said = process.stdout

    async def line(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return (await self._said.readline()).decode().rstrip("\n")

    async def ended(self) -> list[str]:
        async with asyncio.timeout(PATIENCE):
            said, _ = await self._process.communicate()
        assert self._process.returncode == 0
        return said.decode().splitlines()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Program]]]:
    begun: list[asyncio.subprocess.Process] = []

    async def run(*command: str) -> Program:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
        )
        begun.append(process)
        return Program(process)

    yield run
    for process in begun:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def client(shared: Process, tenant: str) -> AsyncIterator[Client]:
    """Somebody else, in the tenant that takes the place of the page's."""
    async with connect(shared.address, tenant=tenant) as client:
        await create_def(client, name="托盘配送", config=json_object(inputs=[STATION]))
        yield client


@pytest.fixture
def python(
    run: Callable[..., Awaitable[Program]], shared: Process, tenant: str
) -> Callable[..., Awaitable[Program]]:
    """Runs the program of a section of the page."""

    async def python(section: str, address: str = shared.address) -> Program:
        (program,) = SECTIONS[section]
        return await run(sys.executable, "-c", placed(program, address, tenant))

    return python


def placed(program: str, address: str, tenant: str) -> str:
    """The program with the tests' server and tenant."""
    assert {"127.0.0.1:50051", '"plant-2"'} <= {*re.findall(r'127.0.0.1:50051|"plant-2"', program)}
    return program.replace("127.0.0.1:50051", address).replace('"plant-2"', f'"{tenant}"')


async def test_python(client: Client, python: Callable[..., Awaitable[Program]]) -> None:
    program = await python("Python")
    assert await program.line() == "1 task_record"
    (order,) = (await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records
    assert order.created_by == "陈静"
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=order.id))
    assert await program.ended() == ["2 task_record"]


async def test_python_without_an_event_loop(
    client: Client, python: Callable[..., Awaitable[Program]]
) -> None:
    definition = await create_def(client)
    for id_ in "good", "bad":
        await create_run(client, definition.id, id=id_)
    await finish_run(client, "bad", FAILED, error_code="BLOCKED")
    assert await (await python("Without an event loop")).ended() == ["bad BLOCKED"]


async def test_python_errors(client: Client, python: Callable[..., Awaitable[Program]]) -> None:
    definition = await create_def(client)
    for id_ in "order-4711", "order-4712":
        await create_run(client, definition.id, id=id_)
    await finish_run(client, "order-4712", FAILED)
    *others, bad = await (await python("Errors")).ended()
    assert others == [
        "order-4711: canceled by wms",
        "order-4712: too late, it is TASK_RECORD_STATUS_FAILED",
        "order-4713: never heard of it",
    ]
    assert re.fullmatch(r"order 4714: INVALID_ARGUMENT .+: .+ \{'id': '.+'\} \(request .+\)", bad)


async def test_python_watches(
    client: Client, python: Callable[..., Awaitable[Program]], tmp_path: Path
) -> None:
    order = (await create_run(client, (await create_def(client)).id, labels={"line": "A"})).id
    watch = await python("Watches")
    assert await watch.line() == f"{order} 1 0.0"
    place = tmp_path / "place.txt"
    await until_true(lambda: place.exists() and place.stat().st_size)
    await watch.kill()
    await start_run(client, order)
    await finish_run(client, order)
    watch = await python("Watches")
    assert [await watch.line(), await watch.line()] == [f"{order} 2 0.0", f"{order} 3 1.0"]
    await watch.kill()


async def test_python_tls_and_tokens(
    python: Callable[..., Awaitable[Program]], settings: Settings, tenant: str, tmp_path: Path
) -> None:
    shown = Authority(tmp_path, "ca").issue("server")
    keys = write_keys(tmp_path / "keys.json", "HS256")
    (tmp_path / "token.jwt").write_text(token("taskdefs:read", tenants=[tenant]))
    secured = {"tls_cert": shown.certificate, "tls_key": shown.key, "token_keys": keys}
    async with serving(settings.model_copy(update=secured)) as port:
        program = await python("TLS and tokens", f"127.0.0.1:{port}")
        assert await program.ended() == ["0 definitions"]


async def test_the_program_of_the_client_s_own_readme(
    client: Client, run: Callable[..., Awaitable[Program]], shared: Process, tenant: str
) -> None:
    (text,) = texts("client/README.md", "python")
    program = await run(sys.executable, "-u", "-c", placed(text, shared.address, tenant))
    assert await program.line() == "1 task_record"
    (order,) = (await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=order.id))
    assert await program.ended() == ["2 task_record"]


async def test_typescript(
    client: Client,
    directory: Path,
    run: Callable[..., Awaitable[Program]],
    shared: Process,
    tenant: str,
    pytestconfig: pytest.Config,
) -> None:
    generate, program, compile_and_run = SECTIONS["TypeScript"]
    host, _, port = shared.address.partition(":")
    async with Proxy(host, int(port)) as link:
        program = placed(program, f"127.0.0.1:{link.port}", tenant)
        (directory / "orders.ts").write_text(program)
        await asyncio.to_thread(
            paste, npm_installed(generate, directory, pytestconfig.cache), directory
        )
        typescript = await run("/bin/bash", "-euc", compile_and_run)
        assert await typescript.line() == "1 taskRecord"
        full = ListTaskRecordsRequest(view=View.VIEW_FULL)
        (order,) = (await client.records.ListTaskRecords(full)).task_records
        assert (order.created_by, as_dict(order.input)) == ("陈静", {"station": "P-07"})
        for seq in 2, 4:
            await link.cut()
            await start_run(client, order.id)
            await start_run(client, order.id)
            # Both: without a place to go on from, the latest state alone would come.
            assert await typescript.line() == f"{seq} taskRecord"
            assert await typescript.line() == f"{seq + 1} taskRecord"
        await link.cut()
        await finish_run(client, order.id)
        assert await typescript.ended() == ["6 taskRecord"]


async def test_node(
    client: Client, shared: Process, directory: Path, tenant: str, pytestconfig: pytest.Config
) -> None:
    (block,) = SECTIONS["Node, without generated code"]
    block = placed(npm_installed(block, directory, pytestconfig.cache), shared.address, tenant)
    said = await asyncio.to_thread(paste, block, directory)
    # An object, not a list of entries.
    assert said == "陈静 TASK_RECORD_STATUS_PENDING { line: 'A' }\n"


async def test_the_service_config_of_other_languages(shared: Process) -> None:
    (config,) = SECTIONS["Several replicas"]
    options = (("grpc.service_config", config),)
    async with grpc.aio.insecure_channel(shared.address, options=options) as channel:
        await RecordServiceStub(channel).ListTaskRecords(ListTaskRecordsRequest())


def test_a_descriptor_set(directory: Path) -> None:
    (block,) = SECTIONS["A tool that takes a FileDescriptorSet"]
    assert "map<string, string> metadata = 3;" in paste(block, directory)


def test_discovery(shared: Process, tmp_path: Path) -> None:
    (block,) = SECTIONS["Discovery"]
    said = paste(block, tmp_path, shared.address)
    assert "grpc.reflection.v1.ServerReflection\n" in said
    assert "returns ( stream .vwed.v1.WatchTaskRecordResponse );" in said
