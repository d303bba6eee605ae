"""Calls that meet in one batch, however slowly a busy machine lets them arrive."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from tests.support.waiting import until_true
from vwed_grpc.batching import Batcher


@asynccontextmanager
async def gathered(
    database_url: str, table: str, tenant: str, count: int
) -> AsyncIterator[list[Any]]:
    """Nobody writes to the table until so many of the tenant's questions are there.

    For a server in this process. The calls are begun inside, and awaited outside; at most 100, or
    some would find no place beside those who wait. The questions are listed as they arrive: calls
    that are under way together may overtake each other.
    """
    asked: list[Any] = []
    submit = Batcher.submit

    async def listed(
        batcher: Batcher[Any, Any, Any], key: object, question: object, *given: Any
    ) -> Any:
        if key == tenant:
            asked.append(question)
        return await submit(batcher, key, question, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batcher, "submit", listed)
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            yield asked
            await until_true(lambda: len(asked) >= count, what=f"{count} calls at work")
