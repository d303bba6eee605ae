"""What docs/contributing.md has developers start: servers of their own, and the pages."""

import asyncio
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.metrics_page import free_address
from tests.support.pages import ROOT, sections
from tests.support.process import BIN, ENVIRONMENT
from tests.support.waiting import until_true

SECTIONS = sections("docs/contributing.md", "sh")
REDIS = shutil.which("redis-server")
POSTGRES = Path("/usr/lib/postgresql/15/bin/initdb")
ASK = """
"$VWED_TEST_REDIS_SERVER" --version > /dev/null
python - <<'END'
import os, psycopg, redis
with psycopg.connect(os.environ["VWED_TEST_DATABASE_URL"], autocommit=True) as database:
    database.execute("CREATE DATABASE one")
    (version,) = database.execute("SHOW server_version_num").fetchone()
print(version, redis.from_url(os.environ["VWED_TEST_REDIS_URL"]).ping())
END
"""


@pytest.mark.skipif(not POSTGRES.exists(), reason="there is no PostgreSQL 15 of Debian's")
@pytest.mark.skipif(REDIS is None, reason="there is no redis-server")
@pytest.mark.skipif(os.geteuid() != 0, reason="not root, who may be postgres")
def test_servers_of_your_own() -> None:
    (block,) = SECTIONS["On servers of your own"]
    # The tests themselves are what runs here.
    assert block.count("\nmake test\n") == 1
    block = block.replace("\nmake test\n", ASK)
    block = block.replace("/usr/bin/redis-server", str(REDIS))
    for port in ("5415", "6370"):
        block = block.replace(port, free_address().rpartition(":")[2])
    start, stop = block.strip().rsplit("\n", 1)
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", f"trap '{stop}; rm -r \"$dir\"' EXIT\n{start}"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^15\d{4} True$", done.stdout, re.MULTILINE)


async def test_the_pages_are_served(tmp_path: Path) -> None:
    (block,) = SECTIONS["Pages"]
    assert block == ".venv/bin/zensical serve\n"
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    (tmp_path / "docs").mkdir()
    for one in "index.md", "style.css":  # `make check` builds all of them
        shutil.copy(ROOT / "docs" / one, tmp_path / "docs")
    address = free_address()
    serving = await asyncio.create_subprocess_exec(
        *(BIN / "zensical", "serve", "--dev-addr", address), cwd=tmp_path, env=ENVIRONMENT
    )

    def shown() -> bool:
        # Until it is built, a script stands in the page's place.
        with suppress(OSError), urlopen(f"http://{address}/index.html") as answer:
            return "no gap and no repeat" in answer.read().decode()
        return False

    try:
        await until_true(lambda: asyncio.to_thread(shown), what="the page")
    finally:
        serving.terminate()
        await serving.wait()
