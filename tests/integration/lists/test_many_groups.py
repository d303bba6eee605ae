"""Summaries have at most 10,000 groups; what would have more is refused, and is not read."""

from datetime import timedelta

from grpc import StatusCode
from vwed.v1.record_service_pb2 import SummarizeTaskRecordsRequest

from tests.integration.lists import test_summaries_of_blocks as of_blocks
from tests.integration.lists import test_summaries_of_runs as of_runs
from tests.integration.lists.test_summaries_of_runs import DAY, between
from tests.support.history_of import End, write_runs
from tests.support.steps import refused, sql
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import SUCCEEDED
from vwed_grpc.storage.summaries import MAX_GROUPS

BY_ROBOT = SummarizeTaskRecordsRequest.GroupBy.GROUP_BY_ROBOT
_RUNS = """
    WITH made AS (
        INSERT INTO task_records (tenant, id, status, create_time, update_time, start_time,
                                  end_time, robot_id)
        SELECT :tenant, 'run-' || n, 7, at, at, at, at, 'robot-' || n
          FROM generate_series(1, CAST(:count AS int)) n,
               (SELECT CAST(:at AS timestamptz) AS at) given
        RETURNING 1)
    SELECT count(*) FROM made
"""
_BLOCKS = """
    WITH made AS (
        INSERT INTO block_records (tenant, task_record_id, block_id, iteration, attempt, id,
                                   block_type, status, first_seq, start_time, end_time,
                                   create_time, update_time)
        SELECT :tenant, r.id, 'b' || n, '', 1, 'b' || n, 'type-' || n, 4, n, r.end_time,
               r.end_time, r.end_time, r.end_time
          FROM generate_series(1, CAST(:count AS int)) n, task_records r WHERE r.tenant = :tenant
        RETURNING 1)
    SELECT count(*) FROM made
"""


async def test_groups_of_runs(client: Client, database_url: str, tenant: str) -> None:
    await sql(database_url, _RUNS, tenant=tenant, count=MAX_GROUPS, at=DAY)
    found = await of_runs.summarize(client, BY_ROBOT)
    assert len(found) == MAX_GROUPS
    assert {summary.count for summary in found} == {1}
    await write_runs(database_url, tenant, End(DAY, 1, 1, SUCCEEDED, robot="one more"))
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_GROUPS"):
        await of_runs.summarize(client, BY_ROBOT)
    (all_of_them,) = await of_runs.summarize(client)
    assert all_of_them.count == MAX_GROUPS + 1


async def test_groups_of_blocks(client: Client, database_url: str, tenant: str) -> None:
    span = between(DAY, DAY + timedelta(days=1))
    await write_runs(database_url, tenant, End(DAY, 1, 1, SUCCEEDED))
    await sql(database_url, _BLOCKS, tenant=tenant, count=MAX_GROUPS)
    found = await of_blocks.summarize(client, span)
    assert len(found) == MAX_GROUPS
    assert {summary.count for summary in found} == {1}
    more = ("one more", int(blocks.SUCCEEDED), 1.0)
    await write_runs(database_url, tenant, End(DAY, 1, 1, SUCCEEDED, blocks=[more]))
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_GROUPS"):
        await of_blocks.summarize(client, span)
