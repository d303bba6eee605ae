"""`vwed-grpc export > site.jsonl` and `vwed-grpc import site.jsonl`, as real processes."""

import asyncio
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest

from tests.support.calls import create_whole_def, delete_def, get_def, json_object, update_def
from tests.support.definition_calls import create_template, export, instantiate, items
from tests.support.grpcurl import shell
from tests.support.process import BIN, ENVIRONMENT, Process
from vwed.client import Client, connect

VWED_GRPC = str(BIN / "vwed-grpc")


def command(server: Process, tenant: str, *words: str) -> list[str]:
    return [VWED_GRPC, *words, "--target", server.address, "--tenant", tenant]


def run(
    server: Process, tenant: str, *words: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(server, tenant, *words),
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )


def exported(server: Process, tenant: str) -> bytes:
    done = run(server, tenant, "export")
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


async def stored(server: Process, tenant: str) -> list[tuple[str, int]]:
    """The id and version of each item of an export."""
    async with connect(server.address, tenant=tenant, bare=True) as client:
        return [(each.id, each.version) for each in items(await export(client))]


async def count(client: Client) -> int:
    """Of a tenant's definitions."""
    request = ListTaskDefsRequest(page_size=1, include_total=True)
    return (await client.definitions.ListTaskDefs(request)).total_size


@pytest.fixture
def other() -> str:
    """A tenant that has nothing yet."""
    return f"t-{uuid.uuid4()}"


async def a_site(server: Process, tenant: str) -> None:
    async with connect(server.address, tenant=tenant, actor="ann", bare=True) as client:
        schema = json_object(properties={"to": {"type": "string"}})
        config = json_object(target="${params.to}", z=1, a=[{"y": 1.5, "b": None}])
        await create_template(client, "线边", id="t", config=config, parameters_schema=schema)
        await instantiate(client, "t", json_object(to="P-7\u2028\n"), id="of-t", name="到 P-7")
        whole = await create_whole_def(client)
        await update_def(client, TaskDef(id=whole.id, name="second", change_note="why"))
        await delete_def(client, (await instantiate(client, "t", json_object(to="x"))).id)


async def test_what_was_exported_is_imported_elsewhere_as_it_was(
    shared: Process, tenant: str, other: str, tmp_path: Path
) -> None:
    await a_site(shared, tenant)
    site = tmp_path / "site.jsonl"
    site.write_bytes(exported(shared, tenant))
    lines = [json.loads(line) for line in site.read_bytes().splitlines()]
    assert [[*line] for line in lines] == [["task_template"], *[["task_def"]] * 3]
    done = run(shared, other, "import", str(site), "--actor", "陈静")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"created 3, updated 0, skipped 0, errors 0\n"
    assert exported(shared, other) == site.read_bytes()
    async with connect(shared.address, tenant=other, bare=True) as client:
        assert (await get_def(client, "of-t")).created_by == "陈静"

    # From standard input, and once more: nothing is new.
    for conflict in ("skip", "overwrite"):
        done = run(shared, other, "import", "-", "--conflict", conflict, stdin=site.read_bytes())
        assert done.stdout == b"created 0, updated 0, skipped 3, errors 0\n"
    assert exported(shared, other) == site.read_bytes()


def test_what_can_be_no_tenant_is_refused_in_a_line(shared: Process) -> None:
    done = run(shared, "工厂", "export")
    assert done.returncode == 2
    assert b"Invalid value for '--tenant': must be at most 128 characters" in done.stderr


async def test_a_change_of_a_definition_is_a_change_of_its_lines(
    shared: Process, tenant: str
) -> None:
    await a_site(shared, tenant)
    before = exported(shared, tenant).splitlines()
    for line in before:
        text = line.decode()
        assert text == json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True)
        assert "1.0" not in text
    async with connect(shared.address, tenant=tenant, bare=True) as client:
        await update_def(client, TaskDef(id="of-t", description="new"))
    after = exported(shared, tenant).splitlines()
    # The status moves on to the newest version.
    (old,) = [line for line in before if b'"id": "of-t"' in line]
    first, second = [line for line in after if b'"id": "of-t"' in line]
    assert first == old.replace(b'"status": "TASK_DEF_STATUS_ENABLED", ', b"")
    assert json.loads(second)["task_def"]["description"] == "new"
    assert {*before} - {old} == {*after} - {first, second}


async def test_a_file_with_a_bad_line_is_not_sent_at_all(
    shared: Process, other: str, tmp_path: Path
) -> None:
    good = b'{"task_def": {"id": "a", "name": "a"}}\n'
    site = tmp_path / "site.jsonl"
    long = b'{"task_def": {"id": "' + b"x" * (17 << 20) + b'"}}\n'
    site.write_bytes(good + b"not json\n" + long + b"\xff\n{}\n")
    done = run(shared, other, "import", str(site))
    assert (done.returncode, done.stdout) == (1, b"")
    *told, last = done.stderr.decode().splitlines()
    assert [line[:9] for line in told] == ["line 2 is", "line 3 is", "line 4 is", "line 5 ho"]
    assert "longer than 16 MiB" in told[1]
    assert last == "Error: 4 of 5 lines are bad: nothing was sent"
    assert await stored(shared, other) == []


def test_of_a_file_of_another_kind_little_is_told(shared: Process, other: str) -> None:
    done = run(shared, other, "import", __file__)
    assert (done.returncode, done.stdout) == (1, b"")
    *told, last = done.stderr.decode().splitlines()
    assert len(told) == 10
    assert last.endswith("; `vwed-grpc export` writes a line of JSON for each item")


async def test_what_is_refused_is_told_by_its_line(
    shared: Process, other: str, tmp_path: Path
) -> None:
    site = tmp_path / "site.jsonl"
    lines: list[dict[str, Any]] = [
        {"id": "a", "name": "same"},
        {"id": "b", "name": "same"},
        {"id": "c", "name": "c", "config": {"blocks": 7}},
        {"id": "d", "name": "d"},
    ]
    site.write_text("\n\n".join(json.dumps({"task_def": line}) for line in lines))
    for options, made in ((["--validate-only"], 0), ([], 2)):
        done = run(shared, other, "import", str(site), *options)
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert "line 5: task_def 'c': task_def.config.blocks: " in done.stderr.decode()
        assert len(await stored(shared, other)) == made
    assert "line 3: task_def 'b' version 1: there is a task_def with the name 'same'" in (
        done.stderr.decode()
    )
    assert done.stdout == b"created 2, updated 0, skipped 0, errors 2\n"
    done = run(shared, other, "import", str(site), "--conflict", "fail")
    assert done.stdout == b"created 0, updated 0, skipped 0, errors 1\n"
    assert done.returncode == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_an_import_that_is_interrupted_leaves_whole_items_and_can_be_run_again(
    shared: Process, tmp_path: Path, how: signal.Signals
) -> None:
    ids = [f"def-{n:03}" for n in range(900)]
    site = tmp_path / "site.jsonl"
    with site.open("w") as file:
        for id_ in ids:
            for version in (1, 2, 3):
                item = {"id": id_, "name": f"{id_} {version}", "version": version}
                file.write(json.dumps({"task_def": item}, sort_keys=True) + "\n")
    while True:  # on a busy machine it may be over before it is interrupted
        tenant = f"t-{uuid.uuid4().hex[:12]}"
        if await interrupted(shared, tenant, site, how):
            break
    found = list[tuple[str, int]]()
    while (after := await stored(shared, tenant)) != found:
        found = after  # until what was under way on the server has ended
        await asyncio.sleep(0.3)
    whole = len(found) // 3
    assert 0 < whole <= len(ids)
    assert found == [(id_, version) for id_ in ids[:whole] for version in (1, 2, 3)]
    done = run(shared, tenant, "import", str(site))
    counts = f"created {len(ids) - whole}, updated 0, skipped {whole}, errors 0\n"
    assert (done.returncode, done.stdout.decode()) == (0, counts)
    kept = [json.loads(line) for line in exported(shared, tenant).splitlines()]
    given = [json.loads(line) for line in site.read_text().splitlines()]
    for line in kept:
        line["task_def"].pop("config")  # which is the empty object where none was given
        line["task_def"].pop("status", "")
    assert kept == given


async def interrupted(server: Process, tenant: str, site: Path, how: signal.Signals) -> bool:
    """Whether the import was still at it when it was told to stop, once it had begun."""
    async with connect(server.address, tenant=tenant, bare=True) as client:
        process = await asyncio.create_subprocess_exec(
            *command(server, tenant, "import", str(site)),
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        while await count(client) == 0:
            assert process.returncode is None
        with suppress(ProcessLookupError):
            process.send_signal(how)
    stdout, stderr = await process.communicate()
    if process.returncode == 0:
        return False
    assert (stdout, stderr) == (b"", b"")
    return True


async def test_an_export_that_cannot_be_written_says_so_in_a_line(
    shared: Process, tenant: str
) -> None:
    await a_site(shared, tenant)
    to_a_full_disk = f"{shlex.join(command(shared, tenant, 'export'))} > /dev/full"
    async with shell(to_a_full_disk) as process:
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, said) == (1, b"Error: cannot go on: No space left on device\n")


async def test_a_terminal_sees_how_far_it_has_come(
    shared: Process, tenant: str, other: str, tmp_path: Path
) -> None:
    await a_site(shared, tenant)
    site = tmp_path / "site.jsonl"
    with site.open("wb") as out:
        shown = await asyncio.to_thread(on_terminal, command(shared, tenant, "export"), out)
    assert "exporting" in shown
    assert "4 items" in shown
    shown = await asyncio.to_thread(on_terminal, command(shared, other, "import", str(site)))
    assert re.search(r"importing .*━.* \d+/\d+ bytes 4 items", shown)
    assert "created 3, updated 0, skipped 0, errors 0" in shown


def on_terminal(words: list[str], stdout: Any = None) -> str:
    """What a command shows on a terminal, on which are its stderr and, unless given, its stdout."""
    ours, theirs = pty.openpty()
    environment = ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=stdout or theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65_536):
                shown += chunk
        except OSError:
            pass  # how Linux tells that the other end is closed
        finally:
            os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
