"""Draws the pictures of README and docs from the demo: `python -m bench.pictures [TARGET]`.

It is a client of the server at TARGET (127.0.0.1:50051), and plays the demo there in a tenant of
its own.
"""

import asyncio
import io
import re
import shutil
import socket
import sys
from collections import defaultdict
from datetime import UTC
from pathlib import Path

from playwright.async_api import Error, Page, ViewportSize, async_playwright
from rich import _export_format, terminal_theme
from rich.console import Console
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed.client import Client, Executor, connect
from vwed_grpc.cli.run_lines import run_lines
from vwed_grpc.demo import examples
from vwed_grpc.demo.session import play
from vwed_grpc.views.reading import read_config
from vwed_grpc.views.run_view import RunView
from vwed_grpc.views.svg import svg
from vwed_grpc.views.timeline import timeline
from vwed_grpc.views.words import run_status

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TENANT = "pictures"
SHOWN = "demo-parallel-pick"
"""The definition whose run is shown: it has branches side by side, and loops in loops."""
PROGRESS = 0.5
"""At which the watch is shown."""
COLUMNS, LINES = 84, 24
SIZE = ViewportSize(width=1280, height=860)
SHOWN_BLOCK = "report_to_wms"
SPEED = 0.1


async def draw(target: str, folder: Path, *, speed: float) -> None:
    """Writes watch.svg, timeline.svg, and console.png if this machine has a Chromium."""
    events = await _played(target, speed)
    async with connect(target, tenant=TENANT) as client:
        view = await _view(client, events)
    rest = iter(events)
    for event in rest:
        view.apply(event)
        if event.progress >= PROGRESS:
            (folder / "watch.svg").write_text(_watch(view, event), encoding="utf-8")
            break
    for event in rest:
        view.apply(event)
    drawn = timeline(view, events[-1].event_time.ToDatetime(UTC), most=LINES)
    title = f"{view.run.task_def_name}: {run_status(view.run)}"
    (folder / "timeline.svg").write_text(svg(drawn, title), encoding="utf-8")
    if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
        await _console(target, view.run.id, folder / "console.png", chromium)


async def _played(target: str, speed: float) -> list[TaskRecordEvent]:
    """What happened in the run that is shown."""
    told: dict[str, list[TaskRecordEvent]] = defaultdict(list)
    async with connect(target, tenant=TENANT) as client:
        await examples.load(client)
        await play(
            client,
            lambda robot: Executor(target, robot, tenant=TENANT, grace=0),
            lambda event: told[event.task_record_id].append(event),
            runs=len(examples.runs()),
            robots=3,
            speed=speed,
        )
    (shown,) = (run for run in told.values() if run[0].task_record.task_def_id == SHOWN)
    return shown


async def _view(client: Client, events: list[TaskRecordEvent]) -> RunView:
    run = events[0].task_record
    return RunView(run, await read_config(client, run))


def _watch(view: RunView, event: TaskRecordEvent) -> str:
    """The terminal in the moment of an event."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    now = event.event_time.ToDatetime(UTC)
    for line in run_lines(view, now, width=COLUMNS, height=LINES):
        console.print(line, highlight=False)
    # Its own form asks another host for a font.
    form = re.sub(r"@font-face \{\{.*?\}\}", "", _export_format.CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(
        title="vwed-grpc watch",
        theme=terminal_theme.DIMMED_MONOKAI,
        code_format=form,
        unique_id="watch",
    )


async def _console(target: str, run: str, picture: Path, chromium: str) -> None:
    """The page of a run, as a browser shows it."""
    command = Path(sys.executable).with_name("vwed-grpc")
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    console = await asyncio.create_subprocess_exec(
        command, "console", "--listen", listen, "--target", target, "--tenant", TENANT
    )
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            page = await browser.new_page(viewport=SIZE, locale="en-US", color_scheme="light")
            await _open(page, f"http://{listen}/runs/{run}")
            await page.get_by_text(SHOWN_BLOCK).first.wait_for()
            await page.screenshot(path=picture)
            await browser.close()
    finally:
        console.terminate()
        await console.wait()


async def _open(page: Page, address: str) -> None:
    while True:
        try:
            await page.goto(address)
        except Error:  # the console has yet to listen
            await asyncio.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    asyncio.run(draw((sys.argv[1:] or ["127.0.0.1:50051"])[0], PICTURES, speed=SPEED))
