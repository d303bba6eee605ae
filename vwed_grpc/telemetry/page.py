"""The page that Prometheus reads."""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from vwed_grpc.process.pages import MakePage, Page


def page_of(registry: CollectorRegistry, refresh: Callable[[], None] = lambda: None) -> MakePage:
    """What is in the registry, after a `refresh`; written in a thread, for it takes some 10 ms."""

    async def page() -> Page:
        refresh()
        text = (await asyncio.to_thread(generate_latest, registry)).decode()
        return Page(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return page
