"""Whatever a request holds, it is answered, by no fault of ours, and harms nobody else.

First every extreme value at every place of every method, alone; then by Hypothesis several at
once, and broken bytes. All on a database and a server of its own, where a run, a tenant or a duty
that came to harm is seen in the end.

VWED_EXTREMES=N puts every value everywhere, where the ordinary run takes a sixteenth of the texts
and of the JSON, and plays N times as many of Hypothesis's examples, other ones each time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from vwed.v1.record_service_pb2 import (
    FinishTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import set_entry, update_def
from tests.support.databases import migrated_database
from tests.support.definition_calls import update_template
from tests.support.extremes import Place, extremes, forged_tokens, places, put, some_extremes
from tests.support.steps import count_all_time, get, running, seconds, sql
from tests.support.valid_requests import DEF, RUN, TEMPLATE, VALID
from tests.support.waiting import until_true
from tests.support.world import (
    GOOD,
    OUR_FAULT,
    SECONDS,
    World,
    dotted,
    in_turns,
    place,
    read_all,
)
from vwed.client import connect
from vwed_grpc.domain.lifecycle import CANCELING, INTERRUPTED, SUCCEEDED
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

HUNT = int(os.environ.get("VWED_EXTREMES", "0"))


@pytest.fixture(scope="module")
def own_database(postgres_url: str) -> Iterator[str]:
    with migrated_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def own_target(own_database: str, redis_url: str) -> AsyncIterator[str]:
    own = Settings(listen="127.0.0.1:0", database_url=own_database, redis_url=redis_url)
    async with serving(own) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def world(own_target: str, tenant: str) -> AsyncIterator[World]:
    async with (
        grpc.aio.insecure_channel(own_target) as channel,
        connect(own_target, tenant=tenant, actor="tester", bare=True) as client,
    ):
        world = World(channel, client, tenant)
        await world.fill()
        yield world


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
async def test_an_extreme_value_alone(world: World, method: MethodDescriptor) -> None:
    async def one(at: Place, value: Any, run: str) -> tuple[str, str, str]:
        request = await world.with_extreme(method, at, value)
        if run:
            put(request, place(method, "task_record_id"), run)
            put(request, at, value)
        raw = [message.SerializeToString() for message in world.messages(request)]
        return await world.send(method, *raw), dotted(at), str(value)[:80]

    work: list[Awaitable[tuple[str, str, str]]] = []
    runs: dict[str, Place] = {}
    for turn, at in enumerate(places(method.input_type)):
        run = ""
        if "Report" in method.name:  # what is wrong with the run's blocks shows by the place then
            run = await world.running_run()
            runs[run] = at
        values = extremes(at) if HUNT else some_extremes(at, turn)
        work += [one(at, value, run) for value in values]
    good = asyncio.gather(*(world.report() for _ in range(len(work) // 8 + 1)))
    answers = await in_turns(work)
    await good
    assert not [answer for answer in answers if answer[0] in OUR_FAULT]
    await read_all(world)
    # Finishing closes the blocks; so does the end of a lease, once a run is to be canceled.
    ended = [
        (await (world.finish if (turn + method.index) % 2 else world.cancel)(run), dotted(at))
        for turn, (run, at) in enumerate(runs.items())
    ]
    assert not [answer for answer in ended if answer[0] != "OK"]
    if ended:
        await read_all(world)


TOKENS = {
    "ListTaskDefs": ("name", "create_time desc", "update_time", "task_type"),
    "ListTaskTemplates": ("name", "create_time", "update_time desc", "task_type"),
    "ListTaskRecords": ("create_time", "start_time desc", "end_time", "priority"),
    "ListTaskDefVersions": ("",),
    "ListTaskTemplateVersions": ("",),
    "ListBlockRecords": ("",),
    "ListTaskRecordEvents": ("",),
    "ListDataCache": ("",),
    "WatchTaskRecords": ("",),
}
"""Method -> the orders of what has a token, each with columns of its own."""


def test_every_method_with_a_token_is_known() -> None:
    tokens = {"page_token", "resume_token"}
    assert TOKENS.keys() == {
        name
        for name, method in METHODS.items()
        if tokens.intersection(method.input_type.fields_by_name)
    }


@pytest.mark.parametrize("name", TOKENS)
async def test_an_extreme_position_in_a_token(world: World, name: str) -> None:
    """The seal has no secret: nothing but a token's own checks keeps such values out."""
    for number in range(2):  # so that every list has a second page
        await world.new_def()
        await world.new_template()
        await world.report()
        await set_entry(world.client, RUN, f"key-{number}", int_value=1)
        await update_def(world.client, TaskDef(id=DEF, description=str(number)))
        await update_template(world.client, TaskTemplate(id=TEMPLATE, description=str(number)))
    method, work = METHODS[name], list[bytes]()
    for order in TOKENS[name]:
        request: Any = type(VALID[name])()
        for id_ in {"id", "task_record_id"}.intersection(method.input_type.fields_by_name):
            setattr(request, id_, GOOD if "Block" in name else getattr(VALID[name], id_))
        if name.startswith("List"):
            request.order_by, request.page_size = order, 1
        else:
            request.bookmark_interval.seconds = 1
        given = (await world.first_answer(method, request)).ListFields()
        (token,) = (value for field, value in given if field.name.endswith("_token"))
        for forged in forged_tokens(world.tenant, request, token):
            setattr(request, token_field(method), forged)
            work.append(request.SerializeToString())
    codes = await in_turns([world.send(method, raw) for raw in work])
    faults = [sent for sent in zip(codes, work, strict=True) if sent[0] in OUR_FAULT]
    assert not faults


def token_field(method: MethodDescriptor) -> str:
    return "resume_token" if method.name.startswith("Watch") else "page_token"


NUMBERS = st.tuples(st.integers(0, 9_999), st.integers(0, 9_999))
SENT = st.tuples(
    st.sampled_from(sorted(METHODS)),
    st.lists(NUMBERS, max_size=4),
    st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 255)), max_size=1),
)
"""A method; at which of its places which extreme value is put; which byte becomes which."""
Sent = tuple[str, list[tuple[int, int]], list[tuple[int, int]]]


# Not shrunk: each try costs calls, and a fault names its request.
@settings(
    max_examples=40 * max(HUNT, 1),
    deadline=None,
    derandomize=not HUNT,
    print_blob=True,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # what is sent shares the tenant
)
@given(sent=st.lists(SENT, min_size=10, max_size=25))
async def test_several_extreme_values_and_broken_bytes(world: World, sent: list[Sent]) -> None:
    async def one(
        name: str, values: list[tuple[int, int]], bytes_: list[tuple[int, int]]
    ) -> tuple[str, str, bytes]:
        method = METHODS[name]
        request, there = await world.base(method), [*places(method.input_type)]
        for where, which in values if there else []:
            at = there[where % len(there)]
            among = extremes(at)
            put(request, at, among[which % len(among)])
        raw = bytearray(request.SerializeToString())
        for where, byte in bytes_:
            if raw and byte % 4 == 1:
                raw[where % len(raw)] = byte
        before = [m.SerializeToString() for m in world.messages(request)[:-1]]
        return await world.send(method, *before, bytes(raw)), name, bytes(raw)[:2_000]

    good = asyncio.gather(*(world.report() for _ in range(3)))
    answers = await in_turns([one(*each) for each in sent])
    await good
    assert not [answer for answer in answers if answer[0] in OUR_FAULT]


async def test_after_all_that_the_duties_go_on(
    world: World, own_target: str, own_database: str, tenant: str
) -> None:
    """Leases that run out are acted on, whatever their runs' blocks hold; entries are swept."""
    run = await running(world.client, DEF, lease=1)
    await set_entry(world.client, RUN, "short", int_value=1, ttl=seconds(0.001))

    async def ended() -> bool:
        return (await get(world.client, run.id)).status == INTERRUPTED

    await until_true(ended, what="the end of a lease")
    await count_all_time(own_database)
    await sql(
        own_database,
        "UPDATE task_records SET lease_expire_time = clock_timestamp() - interval '1 ms'"
        " WHERE lease_expire_time IS NOT NULL RETURNING id",
    )

    async def none_is_left() -> bool:
        left = "SELECT tenant, id FROM task_records WHERE lease_expire_time IS NOT NULL LIMIT 5"
        return not await sql(own_database, left)

    await until_true(none_is_left, what="the end of all leases", every=0.1)
    canceling = "SELECT tenant, id FROM task_records WHERE status = :canceling"
    assert not await sql(own_database, canceling, canceling=CANCELING)

    # Its row is kept for as long as somebody may still have read it.
    await sql(
        own_database,
        "UPDATE data_cache SET expire_time = expire_time - interval '1 h',"
        " update_time = update_time - interval '1 h'"
        " WHERE tenant = :tenant AND key = 'short' RETURNING key",
        tenant=tenant,
    )

    async def swept() -> bool:
        entry = "SELECT 1 FROM data_cache WHERE tenant = :tenant AND key = 'short'"
        return not await sql(own_database, entry, tenant=tenant)

    await until_true(swept, what="the sweep of an entry", every=0.1)

    # An executor may finish what it holds no longer: all of its blocks are closed then.
    open_ = await sql(
        own_database,
        "SELECT tenant, id FROM task_records WHERE seq > 2 AND status = :interrupted",
        interrupted=INTERRUPTED,
    )

    async def finish(of: str, id_: str) -> None:
        async with connect(own_target, tenant=of, bare=True) as client:
            request = FinishTaskRecordRequest(id=id_, status=SUCCEEDED)
            await client.records.FinishTaskRecord(request, timeout=SECONDS)

    await in_turns([finish(row.tenant, row.id) for row in open_])
