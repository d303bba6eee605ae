"""Each page in a browser, wide and narrow, in both languages."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, expect
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.record_service_pb2 import FinishTaskRecordRequest
from vwed.v1.task_def_service_pb2 import UpdateTaskDefRequest

from tests.support.browsing import NARROW, WIDE, barriers, browsing, overflow
from tests.support.console import Console
from tests.support.steps import block, create, define, report, start, struct
from vwed.client import connect, data_cache
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import FAILED, RUNNING, SUCCEEDED

TENANT = "console-pages"
TREE = {
    "blocks": [
        {
            "id": "lines",
            "type": "loop",
            "name": "逐行",
            "children": {"body": [{"id": "pick", "type": "pick", "name": "拣货"}]},
        },
        {"id": "report", "type": "report", "inputs": {"to": "WMS"}},
    ]
}


@dataclass
class Ids:
    definition: str
    run: str


@pytest.fixture(scope="module")
async def ids(target: str) -> AsyncIterator[Ids]:
    """Of a definition with two versions, and a run that failed."""
    async with connect(target, tenant=TENANT, actor="tester", bare=True) as client:
        definition = await define(client, TREE, name="分区拣选")
        definition.config.CopyFrom(struct({"blocks": TREE["blocks"][:1]}))
        await client.definitions.UpdateTaskDef(UpdateTaskDefRequest(task_def=definition))
        run = await create(client, definition.id, external_id="SO-88213")
        await start(client, run.id)
        for iteration in ("1", "2"):
            await report(client, run.id, block("pick", RUNNING, iteration=iteration))
        await report(
            client,
            run.id,
            block("pick", SUCCEEDED, iteration="1"),
            block("pick", FAILED, iteration="2", error_message="托盘偏角 11.4°"),
        )
        await client.cache.SetDataCache(
            SetDataCacheRequest(data_cache=data_cache(run.id, "robot_id", "AMB-01"))
        )
        await client.records.FinishTaskRecord(
            FinishTaskRecordRequest(
                id=run.id, status=lifecycle.FAILED, error_code="PALLET_ASKEW", error_message="偏"
            )
        )
        open_run = await create(client, definition.id)
        await start(client, open_run.id)
        yield Ids(definition.id, run.id)


@dataclass
class Seen:
    path: str
    table: str
    """The last table that is drawn."""
    texts: dict[str, tuple[str, ...]]
    """Language -> what is to be read."""


PAGES = {
    "runs": Seen(
        "/",
        "table.executors",
        {"en": ("Runs", "failed", "Executors"), "zh-CN": ("任务运行", "失败", "执行器")},
    ),
    "run": Seen(
        "/runs/{run}",
        "table.cache",
        {
            "en": ("PALLET_ASKEW", "pick[2] 拣货", "Data cache", "robot_id", "not begun"),
            "zh-CN": ("PALLET_ASKEW", "pick[2] 拣货", "数据缓存", "robot_id", "未开始"),
        },
    ),
    "definitions": Seen(
        "/definitions",
        "table.definitions",
        {"en": ("分区拣选", "enabled"), "zh-CN": ("分区拣选", "已启用")},
    ),
    "definition": Seen(
        "/definitions/{definition}",
        "table.diff",
        {
            "en": ("pick 拣货", "Versions", "removed", "config.blocks[report]"),
            "zh-CN": ("pick 拣货", "版本", "删除", "config.blocks[report]"),
        },
    ),
    "figures": Seen(
        "/figures",
        "section:last-child table",
        {"en": ("Success rate", "0%", "分区拣选"), "zh-CN": ("成功率", "0%", "分区拣选")},
    ),
}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_whole_and_open_to_all(
    browser: Browser, console: Console, ids: Ids, name: str, language: str
) -> None:
    seen = PAGES[name]
    path = seen.path.format(run=ids.run, definition=ids.definition)
    # The dark colors as well, once a page.
    async with browsing(browser, language=language, dark=language != "en") as page:
        await page.goto(f"{console.url}{path}?tenant={TENANT}")
        for width in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": 900})
            await expect(page.locator(seen.table)).to_be_visible()
            for text in seen.texts[language]:
                shown = page.get_by_text(text, exact=False).filter(visible=True)
                await expect(shown.first).to_be_visible()
            assert await overflow(page) <= 0, width
        assert not await barriers(page)


async def test_the_tenant_goes_along_from_page_to_page(
    browser: Browser, console: Console, ids: Ids
) -> None:
    async with browsing(browser) as page:
        await page.goto(f"{console.url}/?tenant={TENANT}")
        row = page.locator(f"tr[data-run='{ids.run}']")
        await row.get_by_role("link").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("SO-88213")
        await page.get_by_role("link", name="分区拣选 v2").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("分区拣选")
        await page.get_by_role("link", name="Definitions").click()
        await expect(page.get_by_role("link", name="分区拣选", exact=True)).to_be_visible()


async def test_filters_stand_in_the_address(browser: Browser, console: Console, ids: Ids) -> None:
    async with browsing(browser, width=NARROW) as page:
        await page.goto(f"{console.url}/?tenant={TENANT}")
        await expect(page.locator("table.runs tbody tr")).to_have_count(2)
        await page.get_by_text("Filters", exact=True).click()
        assert not await barriers(page)
        await page.get_by_label("failed").check()
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**status=FAILED**")
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
        await expect(page.locator(f"tr[data-run='{ids.run}']")).to_be_visible()


async def test_what_is_not_there_is_said(browser: Browser, console: Console) -> None:
    async with browsing(browser) as page:
        for path in ("/runs/none", "/definitions/none"):
            await page.goto(f"{console.url}{path}")
            await expect(page.get_by_role("alert")).to_contain_text("_NOT_FOUND: ")
