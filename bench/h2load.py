"""h2load (nghttp2), for requests that may repeat: a load generator in C."""

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

HOW_TO_INSTALL = "apt-get install nghttp2-client (Debian, Ubuntu), brew install nghttp2"


@dataclass(frozen=True, slots=True)
class Run:
    calls: int
    seconds: float
    data_bytes: int
    """Of the answers' messages, five bytes of gRPC before each."""
    cpu: float
    """Seconds that h2load itself took."""


def available() -> bool:
    return shutil.which("h2load") is not None


def run(
    target: str,
    path: str,
    body: bytes,
    *,
    calls: int,
    callers: int,
    connections: int,
    metadata: Mapping[str, str] | None = None,
) -> Run:
    """Raises RuntimeError unless each call was answered with HTTP 200.

    A target that begins with https:// is spoken to with TLS, whoever it is.
    """
    headers = {"content-type": "application/grpc", "te": "trailers", **(metadata or {})}
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0" + len(body).to_bytes(4) + body)
        file.flush()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [
                "h2load",
                f"--requests={calls}",
                f"--clients={connections}",
                f"--max-concurrent-streams={max(1, callers // connections)}",
                f"--data={file.name}",
                *(f"--header={name}: {value}" for name, value in headers.items()),
                f"{target if '://' in target else f'http://{target}'}{path}",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = done.stdout
    succeeded = _number(r"(\d+) succeeded", out)
    if succeeded != calls:
        raise RuntimeError(f"{path}: {calls - succeeded} of {calls} calls failed")
    return Run(
        calls=calls,
        seconds=_seconds(out),
        data_bytes=_number(r"\((\d+)\) data", out),
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def _number(pattern: str, out: str) -> int:
    found = re.search(pattern, out)
    if found is None:
        raise RuntimeError(f"h2load said something else: {out[-500:]}")
    return int(found[1])


def _seconds(out: str) -> float:
    found = re.search(r"finished in ([\d.]+)(us|ms|s)", out)
    if found is None:
        raise RuntimeError(f"h2load said something else: {out[-500:]}")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]
