"""`serve --workers 2`: processes that share a port, are restarted, and stop together."""

import asyncio
import os
import re
import signal
import sys
import time
from asyncio import create_subprocess_exec
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest, WatchTaskRecordRequest

from tests.e2e.test_second_server import refused
from tests.support.calls import create_def, create_run, start_run
from tests.support.metrics_page import ask, free_address
from tests.support.process import Process, alive
from tests.support.waiting import PATIENCE, promptly, until_true
from vwed.client import connect, error_info, watch_run

CONNECTIONS = 12
"""So many that each worker gets some of them."""


@pytest.fixture(scope="module")
def pages() -> str:
    return free_address()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, pages: str) -> Iterator[Process]:
    data_dir = tmp_path_factory.mktemp("workers") / "data"
    options = ("--workers", "2", "--metrics-listen", pages)
    process = Process(data_dir, *options, VWED_DRAIN_SECONDS="2")
    process.start()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def server(process: Process) -> Process:
    if not process.running():
        process.start()
    return process


async def answers(server: Process, patience: float) -> list[bool]:
    """Which of several new connections are answered within so many seconds."""

    async def call() -> bool:
        async with connect(server.address, bare=True) as client:
            try:
                await client.records.ListTaskRecords(ListTaskRecordsRequest(), timeout=patience)
            except grpc.aio.AioRpcError:
                return False
            return True

    return await asyncio.gather(*(call() for _ in range(CONNECTIONS)))


async def until_all_answer(server: Process) -> None:
    async def all_answer() -> bool:
        return len(server.workers()) == 2 and all(await answers(server, PATIENCE / 3))

    await until_true(all_answer, what="an answer to each", every=0.1)


async def test_one_that_is_killed_is_back_within_two_seconds(server: Process, pages: str) -> None:
    """One of them for what Python takes to begin, which is more while the machine is busy."""

    async def readyz() -> tuple[str, str]:
        head, body = await ask(pages, b"GET /readyz HTTP/1.1\r\n\r\n")
        return head.split()[1], body

    async def both_serve() -> bool:
        return await readyz() == ("200", "ok\n")

    async def took() -> float:
        """Seconds without a worker, beyond what its code takes to be imported."""
        began = time.monotonic()
        imports = "import gc; gc.disable(); import vwed_grpc.cli.serving, vwed_grpc.server"
        await (await create_subprocess_exec(sys.executable, "-c", imports)).wait()
        imported = time.monotonic() - began
        await until_true(both_serve)
        os.kill(server.workers()[0], signal.SIGKILL)
        began = time.monotonic()
        await until_true(one_is_missed)
        await until_true(both_serve)
        return time.monotonic() - began - imported

    async def nobody_serves() -> bool:
        return (await readyz())[0] == "503"

    async def one_is_missed() -> bool:
        status, body = await readyz()
        return status == "200" and re.fullmatch(r"worker [01]: died\n", body) is not None

    await promptly(took, below=1, rounds=4)
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    await until_true(nobody_serves)
    await until_true(both_serve)


async def test_each_serves_and_one_that_is_killed_comes_again(server: Process) -> None:
    await until_all_answer(server)
    first, second = server.workers()

    async def some_answer() -> bool:
        return any(await answers(server, 1))

    died = server.log.read_text().count("worker died")
    for frozen in (first, second):
        os.kill(frozen, signal.SIGSTOP)
        try:
            await until_true(some_answer, every=0.1)  # the other may be starting
        finally:
            os.kill(frozen, signal.SIGCONT)

    async with connect(server.address, bare=True) as client:
        run = await create_run(client, (await create_def(client)).id)
        watch = watch_run(client, run.id)
        assert (await anext(watch)).seq == 1
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)
        await until_all_answer(server)
        assert not {first, second} & set(server.workers())
        async with connect(
            server.address, bare=True
        ) as later:  # the first one may pause between its tries
            await start_run(later, run.id)
        assert (await anext(watch)).seq == 2  # the watch went on by itself
        await watch.aclose()
    assert server.running()
    assert server.log.read_text().count("worker died") == died + 2


async def test_they_drain_together(server: Process) -> None:
    await until_all_answer(server)
    workers = server.workers()
    died = server.log.read_text().count("worker died")
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(server.address, bare=True))
            for _ in range(CONNECTIONS)
        ]
        task_def = await create_def(clients[0], "drained")
        run = await create_run(clients[0], task_def.id)
        watches = [
            aiter(c.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id)))
            for c in clients
        ]
        for watch in watches:
            assert (await anext(watch)).bookmark_seq == 1
        stopped = asyncio.create_task(asyncio.to_thread(server.stop))
        for watch in watches:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(anext(watch), PATIENCE)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            info = error_info(caught.value)
            assert info
            assert info.reason == "DRAINING"
        assert await stopped == 0
    assert not alive(workers)
    assert server.log.read_text().count("worker died") == died


async def test_a_parent_that_is_killed_takes_its_workers_along(server: Process) -> None:
    """Also one that had told it something, which it had not read."""
    await until_all_answer(server)
    old = server.workers()
    os.kill(old[0], signal.SIGKILL)
    await until_true(lambda: {*server.workers()} - {*old}, what="another worker", every=0.001)
    served = server.log.read_text().count("serving  ")
    server.freeze()
    workers = server.workers()
    await until_true(lambda: server.log.read_text().count("serving  ") == served + 3)
    server.kill()
    await until_true(lambda: not alive(workers), every=0.05)
    server.start()  # on the same port, and with what the killed one left running
    await until_all_answer(server)


def test_a_port_that_others_share_is_taken(server: Process, tmp_path: Path) -> None:
    where = ("--listen", server.address, "--data-dir", str(tmp_path / "other"))
    said = f"Error: cannot listen on {server.address}: Address already in use"
    assert refused(*where, "--workers", "2") == said
    assert refused(*where) == said
    assert not (tmp_path / "other").exists()


def test_a_port_that_is_taken(shared: Process, tmp_path: Path) -> None:
    said = refused(
        "--listen", shared.address, "--data-dir", str(tmp_path / "other"), "--workers", "2"
    )
    assert said == f"Error: cannot listen on {shared.address}: Address already in use"
