"""What is deleted page by page: all of it, in its order, and nothing else."""

from tests.support.steps import sql
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.paged_delete import ROWS, PagedDelete
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction

_FILL = """
    INSERT INTO data_cache (tenant, task_record_id, key, type, value, create_time, update_time)
    SELECT :tenant, :run, to_char(n, '00000'), 1, '', now(), now()
      FROM generate_series(1, CAST(:count AS int)) n RETURNING key
"""


async def test_no_page_is_larger_than_a_statement_may_be(database_url: str, tenant: str) -> None:
    for run, count in (("large", 2 * ROWS + 1), ("small", 3), ("other", 2)):
        await sql(database_url, _FILL, tenant=tenant, run=run, count=count)
    entries = PagedDelete("data_cache", "key", "text", "")
    pool = Pool(Connector(database_url), connections=3)

    async def work(tx: Transaction) -> list[list[tuple[str, str]]]:
        return [page async for page in entries.pages(tx, tenant, ["large", "small", "none"])]

    pages = await pool.run(work)
    await pool.close()
    assert max(map(len, pages)) <= ROWS
    deleted = [each for page in pages for each in page]
    assert [run for run, _ in deleted].count("small") == 3
    keys = [key for run, key in deleted if run == "large"]
    assert keys == sorted(keys)
    assert len(keys) == 2 * ROWS + 1
    left = await sql(
        database_url, "SELECT task_record_id FROM data_cache WHERE tenant = :tenant", tenant=tenant
    )
    assert [row.task_record_id for row in left] == ["other", "other"]
