"""The real grpcurl, and what it prints."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.process import BIN, ENVIRONMENT

_COMMAND = (str(BIN / "grpcurl"), "-plaintext")


def grpcurl(*words: str) -> subprocess.CompletedProcess[str]:
    """One call to its end, as `grpcurl -plaintext WORDS`."""
    return subprocess.run(
        [*_COMMAND, *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def call(address: str, method: str, **request: Any) -> Any:
    """What a unary method answers; fails the test if that is an error."""
    done = grpcurl("-d", json.dumps(request), address, method)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@asynccontextmanager
async def shell(block: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A block of a shell's commands that runs in the background; gone on the way out."""
    process = await asyncio.create_subprocess_shell(
        block, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def messages(process: asyncio.subprocess.Process) -> AsyncIterator[Any]:
    """The messages that grpcurl prints, each as soon as it is whole."""
    assert process.stdout
    text = ""
    async for line in process.stdout:
        text += line.decode()
        if line == b"}\n":  # all other braces are indented
            yield json.loads(text)
            text = ""
    assert not text, text
