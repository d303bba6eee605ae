"""Pages that follow what happens, in a browser."""

import asyncio
from pathlib import Path

from playwright.async_api import Browser, Page, Route, expect
from vwed.v1.record_service_pb2 import DeleteTaskRecordRequest

from tests.support.browsing import barriers, browsing
from tests.support.calls import finish_run, json_object
from tests.support.console import Console
from tests.support.steps import block, create, define, get, report, running, start
from vwed.client import Client
from vwed_grpc.domain.blocks import FAILED, RUNNING, SUCCEEDED
from vwed_grpc.domain.lifecycle import PAUSING

_LOOKED_AT = """(seen) => {
    Object.defineProperty(document, "hidden", { value: !seen, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_a_run_is_followed_through_the_console_s_death(
    browser: Browser, target: str, client: Client, tenant: str, tmp_path: Path
) -> None:
    run = await running(client)
    console = Console(target, tmp_path / "log")
    await console.start()
    try:
        async with browsing(browser) as page:
            await page.goto(f"{console.url}/runs/{run.id}?tenant={tenant}")
            state = page.get_by_role("status")
            await expect(state).to_have_text("live")
            for n in range(20):
                await report(client, run.id, block(f"b{n}", RUNNING))
            await _told(page, 22)
            console.kill()
            await expect(state).to_have_text("connection lost, trying again")
            for n in range(20):
                await report(client, run.id, block(f"b{n}", SUCCEEDED))
            await console.start()
            await _told(page, 42)
            await expect(state).to_have_text("live")
            await finish_run(client, run.id)
            await expect(state).to_have_text("ended")
            last = (await get(client, run.id)).seq
            await _told(page, last)
            rows = page.locator("table.events tbody tr")
            seqs = await rows.evaluate_all("rows => rows.map((row) => Number(row.dataset.seq))")
            assert seqs == list(range(last, 0, -1))
            await expect(page.locator(".summary")).to_contain_text("succeeded")
    finally:
        await console.close()


async def test_bars_grow_and_rows_change_as_reports_come(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    async with browsing(browser) as page:
        await page.goto(f"{console.url}/runs/{run.id}?tenant={tenant}")
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="a"))
        await expect(row.first).to_contain_text("not begun")
        await report(client, run.id, block("a", RUNNING))
        await expect(row.first).to_contain_text("running")
        took = row.first.locator("td.took")
        first = await took.inner_text()
        await expect(took).not_to_have_text(first)  # though nothing comes
        await report(client, run.id, block("a", FAILED, error_message="托盘歪了"))
        await expect(row.first).to_contain_text("failed")
        await expect(row.first.locator("td.message")).to_have_text("托盘歪了")


async def test_a_page_that_nobody_looks_at_lets_go_and_goes_on_later(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    async with browsing(browser) as page:
        await page.goto(f"{console.url}/runs/{run.id}?tenant={tenant}")
        await _told(page, 2)
        await page.evaluate(_LOOKED_AT, False)
        await report(client, run.id, *(block(f"b{n}", RUNNING) for n in range(5)))
        async with page.expect_request("**/stream?*after=2"):
            await page.evaluate(_LOOKED_AT, True)
        await _told(page, 7)


async def test_new_runs_come_first_and_change_where_they_stand(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    await create(client)
    async with browsing(browser) as page:
        await page.goto(f"{console.url}/?tenant={tenant}")
        await expect(page.get_by_role("status")).to_have_text("live")
        run = await create(client, external_id="SO-1")
        first = page.locator("table.runs tbody tr").first
        await expect(first).to_contain_text("SO-1")
        await start(client, run.id)
        await expect(first).to_contain_text("running")
        await finish_run(client, run.id)
        await expect(first).to_contain_text("succeeded")


class LateAnswer:
    """Lets a page have what the console answered to a request when that may come."""

    def __init__(self) -> None:
        self.was_read, self.may_come = asyncio.Event(), asyncio.Event()

    async def __call__(self, route: Route) -> None:
        answer = await route.fetch()
        self.was_read.set()
        await self.may_come.wait()
        await route.fulfill(response=answer)


async def test_a_list_that_comes_late_hides_nothing_that_was_told_meanwhile(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    await create(client, external_id="SO-0")
    known = await create(client, external_id="SO-1")
    gone = await create(client, external_id="SO-2")
    late = LateAnswer()
    async with browsing(browser) as page:
        await page.route("**/api/runs?*", late)
        # As the page opens it asks once; the next time is when the stream is ready.
        await page.route("**/api/runs?*", lambda route: route.abort(), times=1)
        await page.goto(f"{console.url}/?tenant={tenant}")
        await late.was_read.wait()
        await start(client, known.id)
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=gone.id, force=True))
        await create(client, external_id="SO-3")
        rows = page.locator("table.runs tbody tr")
        await expect(rows.filter(has_text="SO-1")).to_contain_text("running")
        await expect(rows.filter(has_text="SO-3")).to_contain_text("pending")
        late.may_come.set()
        await expect(rows.filter(has_text="SO-0")).to_contain_text("pending")
        await expect(rows.filter(has_text="SO-1")).to_contain_text("running")
        await expect(rows).to_have_count(3)
        await expect(rows.first).to_contain_text("SO-3")


async def test_a_run_s_result_stays_though_an_earlier_answer_comes_after_it(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    late = LateAnswer()
    async with browsing(browser) as page:
        await page.route(f"**/api/runs/{run.id}?*", late, times=1)
        await page.goto(f"{console.url}/runs/{run.id}?tenant={tenant}")
        await late.was_read.wait()
        await finish_run(client, run.id, result=json_object(pallets=7))
        await expect(page.get_by_role("status")).to_have_text("ended")
        async with page.expect_response(f"**/api/runs/{run.id}?*") as late_one:
            late.may_come.set()
        await (await late_one.value).finished()
        await page.evaluate(
            "new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))"
        )
        await expect(page.locator("details").filter(has_text="Result")).to_contain_text("pallets")


async def test_a_run_of_5000_blocks_is_few_rows(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    body = [{"id": "pick", "type": "pick"}, {"id": "scan", "type": "scan"}]
    tree = {"blocks": [{"id": "lines", "type": "loop", "children": {"body": body}}]}
    run = await running(client, (await define(client, tree)).id)
    await report(client, run.id, block("lines", RUNNING))
    for first in range(0, 2_500, 500):
        blocks = [
            block(of, SUCCEEDED, iteration=str(n))
            for n in range(first, first + 500)
            for of in ("pick", "scan")
        ]
        await report(client, run.id, *blocks)
    await report(client, run.id, block("pick", RUNNING, iteration="2500"))
    async with browsing(browser) as page:
        await page.goto(f"{console.url}/runs/{run.id}?tenant={tenant}")
        rows = page.locator("table.blocks tbody tr")
        await expect(rows.filter(has_text="pick *2500 +2500")).to_be_visible()
        await expect(rows.filter(has_text="pick[2500]")).to_contain_text("running")
        assert await rows.count() == 5  # the loop, two folded blocks, and the turn that goes on
        await expect(page.locator("table.events tbody tr")).to_have_count(200)
        await page.get_by_role("button", name="Earlier events").click()
        await expect(page.locator("table.events tbody tr")).to_have_count(400)


async def test_whoever_may_acts_by_a_dialog_that_asks_why(
    browser: Browser, acting_console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    async with browsing(browser) as page:
        await page.goto(f"{acting_console.url}/runs/{run.id}?tenant={tenant}")
        await page.get_by_role("button", name="Pause").click()
        assert not await barriers(page)
        await page.get_by_role("dialog").get_by_label("Reason").fill("通道堵塞")
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.locator(".summary")).to_contain_text("pausing")
        await expect(page.locator(".facts")).to_contain_text("通道堵塞")
    now = await get(client, run.id)
    assert now.status == PAUSING
    assert now.status_reason == "通道堵塞"


async def test_nobody_is_offered_what_is_not_allowed(
    browser: Browser, console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    async with browsing(browser) as page:
        await page.goto(f"{console.url}/runs/{run.id}?tenant={tenant}")
        await expect(page.locator(".summary")).to_contain_text("running")
        for name in ("Pause", "Cancel", "Signal"):
            await expect(page.get_by_role("button", name=name)).to_have_count(0)


async def _told(page: Page, seq: int) -> None:
    await expect(page.locator(f"tr[data-seq='{seq}']")).to_be_attached(timeout=30_000)
