"""Prefect's server: create task runs, set their state, read them."""

import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.peers.debian_postgres import NotInstalledError
from bench.process import ROOT, pinned
from bench.stand import free_port

CALLERS = 16
Work = Callable[[http.client.HTTPConnection], bool]
"""One call; False: there is nothing left to do."""
_VENV = ROOT / ".venv" / "peers" / "prefect"
_REQUIREMENTS = ("prefect==3.8.*", "fastapi<0.119")
"""One after the other: Prefect asks for a newer fastapi, with which it does not start."""


def installed() -> Path:
    """The command `prefect`, installed at the first time; `VWED_BENCH_PREFECT` names another.

    Raises NotInstalledError.
    """
    if given := os.environ.get("VWED_BENCH_PREFECT"):
        return Path(given)
    command = _VENV / "bin" / "prefect"
    if not command.exists():
        print("installing Prefect, which takes minutes", file=sys.stderr)
        venv.create(_VENV, with_pip=True)
        for requirement in _REQUIREMENTS:
            done = subprocess.run(
                [_VENV / "bin" / "pip", "install", "--quiet", requirement],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise NotInstalledError(f"pip cannot install {requirement}")
    return command


@contextmanager
def prefect(address: str, database: str, room: Path) -> Iterator[str]:
    """The server on its core; yields its address. Raises NotInstalledError."""
    command, port = installed(), free_port()
    env = {
        "PREFECT_HOME": str(room / "prefect"),
        "PREFECT_API_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://postgres@{address}/{database}"
        ),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    }
    log = room / "prefect.log"
    arguments = ["server", "start", "--no-ui", "--no-services", "--host", "127.0.0.1"]
    with pinned([str(command), *arguments, "--port", str(port)], log, env=env):
        for _ in range(240):
            if _healthy(port):
                break
            time.sleep(0.5)
        else:
            raise NotInstalledError(f"Prefect does not start: {log.read_text()[-300:]}")
        yield f"127.0.0.1:{port}"


def _healthy(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/api/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def measure(address: str, seconds: float) -> dict[str, float]:
    """Calls a second of each kind. Raises RuntimeError if one is refused."""
    made: list[str] = []
    numbers = itertools.count()

    def create(connection: http.client.HTTPConnection) -> bool:
        body = {"task_key": "drive", "dynamic_key": str(next(numbers)), "name": "drive"}
        answer = _ask(connection, "POST", "/api/task_runs/", body)
        made.append(str(answer["id"]))
        return True

    rates = {"create": _rate(address, create, seconds)}
    pending = iter(made)

    def set_state(connection: http.client.HTTPConnection) -> bool:
        id_ = next(pending, None)
        if id_ is None:
            return False
        body = {"state": {"type": "RUNNING"}}
        _ask(connection, "POST", f"/api/task_runs/{id_}/set_state", body)
        return True

    rates["set state"] = _rate(address, set_state, seconds)
    again = itertools.cycle(made)

    def read(connection: http.client.HTTPConnection) -> bool:
        _ask(connection, "GET", f"/api/task_runs/{next(again)}")
        return True

    rates["read"] = _rate(address, read, seconds)
    return rates


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
) -> dict[str, object]:
    connection.request(
        method, path, json.dumps(body) if body else None, {"content-type": "application/json"}
    )
    response = connection.getresponse()
    text = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{method} {path}: {response.status} {text[:300]!r}")
    answer: dict[str, object] = json.loads(text)
    return answer


def _rate(address: str, work: Work, seconds: float) -> float:
    """Calls a second of so many callers, each on a connection of its own."""
    done = [0] * CALLERS
    failures: list[Exception] = []
    began = time.perf_counter()

    def call(n: int) -> None:
        host, _, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            while time.perf_counter() - began < seconds and work(connection):
                done[n] += 1
        except Exception as failure:  # noqa: BLE001 - told by the main thread
            failures.append(failure)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(done) / (time.perf_counter() - began)
