"""Parents of blocks: a block stands neither below itself nor below two of them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey

from tests.support.steps import block, blocks_of, everything, refused, report, running
from tests.support.three_ways import WAYS, Outcome, Way
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.storage import block_records
from vwed_grpc.writes import flush

INVALID = StatusCode.INVALID_ARGUMENT


def below(name: str, parent: str, **fields: Any) -> BlockRecord:
    return block(name, parent=BlockRecordKey(block_id=parent), **fields)


async def chain(client: Client, *names: str) -> tuple[str, dict[str, str]]:
    """A run with blocks, each below the one before it; its id, and theirs by name."""
    run = (await running(client)).id
    blocks = [block(names[0]), *(below(n, p) for p, n in pairwise(names))]
    ids: dict[str, str] = {}
    for batch in batched(blocks):
        answer = await report(client, run, *batch)
        ids |= {made.block_id: made.id for made in answer.block_records}
    return run, ids


def batched(blocks: list[BlockRecord]) -> Iterator[list[BlockRecord]]:
    """As many as one report takes."""
    return (blocks[n : n + 1000] for n in range(0, len(blocks), 1000))


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_a_block_is_not_its_own_parent(client: Client, way: Way, path: str) -> None:
    run, ids = await chain(client, "a")
    before = await everything(client, run)
    by_id = block("a", RUNNING, parent_block_record_id=ids["a"])
    by_key = below("a", "a", message="new")
    unborn = below("b", "b")
    for bad, field in (
        (by_id, "parent_block_record_id"),
        (by_key, "parent"),
        (unborn, "parent"),
    ):
        outcome = await way(client, run, bad)
        assert (outcome.code, outcome.fields) == ("INVALID_ARGUMENT", [f"{path}.{field}"])
    assert await everything(client, run) == before


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_a_block_does_not_come_below_what_stands_below_it(
    client: Client, way: Way, path: str
) -> None:
    run, ids = await chain(client, "a", "b", "c", "d", "e")
    before = await everything(client, run)
    for bad, field in (
        (below("a", "b"), "parent"),
        (below("a", "e"), "parent"),
        (below("b", "e"), "parent"),
        (block("a", parent_block_record_id=ids["e"]), "parent_block_record_id"),
        (block("c", parent_block_record_id=ids["d"]), "parent_block_record_id"),
    ):
        outcome = await way(client, run, bad)
        assert (outcome.code, outcome.fields) == ("INVALID_ARGUMENT", [f"{path}.{field}"])
    assert await everything(client, run) == before
    # Up, sideways and where it stands it may go.
    for good in (below("e", "b"), below("d", "a"), below("e", "c"), below("e", "c")):
        assert (await way(client, run, good)).code == "OK"


async def test_a_descendant_is_found_however_deep(client: Client) -> None:
    run, ids = await chain(client, *(f"b{n}" for n in range(3_000)))
    with refused(INVALID) as refusal:
        await report(client, run, block("b0", parent_block_record_id=ids["b2999"]))
    assert refusal.fields == ["block_records[0].parent_block_record_id"]
    await report(client, run, block("other"), below("other", "b2999"))


async def test_more_than_is_looked_at_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "MOST_ABOVE", 20)
    run, ids = await chain(client, *(f"b{n}" for n in range(30)))
    await report(client, run, block("x"))
    before = await everything(client, run)
    for parent in ("b29", "b20"):
        with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_PARENTS"):
            await report(client, run, block("x", parent_block_record_id=ids[parent]))
    many = [block(f"b{n}", parent_block_record_id=ids["b10"]) for n in range(12, 30)]
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_PARENTS"):
        await report(client, run, *many)
    assert await everything(client, run) == before
    await report(client, run, many[0])


async def test_what_is_above_several_is_looked_at_together(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all of it was, nobody can say that a block does not come below itself."""
    monkeypatch.setattr(flush, "MOST_ABOVE", 20)
    run, ids = await chain(client, *(f"a{n}" for n in range(15)))
    blocks = [block("b0"), *(below(f"b{n + 1}", f"b{n}") for n in range(14))]
    await report(client, run, *blocks)
    await report(client, run, block("x"))
    moved, new = block("x", parent_block_record_id=ids["a14"]), below("new", "b14")
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_PARENTS"):
        await report(client, run, moved, new)
    await report(client, run, moved)
    await report(client, run, new)
    # As many as are looked at are not too many.
    more = [below("c0", "b14"), *(below(f"c{n + 1}", f"c{n}") for n in range(4))]
    top = (await report(client, run, *more)).block_records[-1].id
    await report(client, run, block("x", parent_block_record_id=top))


async def test_who_stays_where_it_is_costs_no_look(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    async def look_above(*args: Any) -> dict[tuple[str, str], str]:
        looks.append(args)
        return await there(*args)

    there = block_records.look_above
    monkeypatch.setattr(block_records, "look_above", look_above)
    run, ids = await chain(client, "a", "b", "c")
    for again in (
        [below("b", "a", message="on"), below("c", "b", message="on")],
        [block("c", parent_block_record_id=ids["b"], message="by its id")],
        [below("d", "c"), below("e", "d"), below("e", "c")],
    ):
        await report(client, run, *again)
    assert not looks
    await report(client, run, below("c", "a"), below("b", "c"), below("d", "a"))
    assert len(looks) == 1


async def test_within_one_batch_the_order_counts(client: Client) -> None:
    run, _ = await chain(client, "a", "b", "c")
    before = await everything(client, run)
    for batch in (
        [block("x"), below("y", "x"), below("x", "y")],
        [below("x", "c"), below("a", "x")],
        [block("x"), below("x", "c"), below("a", "x")],
        [block("y"), below("a", "y"), below("y", "b")],
    ):
        with refused(INVALID) as refusal:
            await report(client, run, *batch)
        assert refusal.fields == [f"block_records[{len(batch) - 1}].parent"]
    assert await everything(client, run) == before
    # What was above may come below once that has left.
    await report(client, run, block("x"), below("b", "x"), below("a", "b"))
    above = {b.block_id: b.parent_block_record_id for b in await blocks_of(client, run)}
    ids = {b.block_id: b.id for b in await blocks_of(client, run)}
    assert above == {"a": ids["b"], "b": ids["x"], "c": ids["b"], "x": ""}


async def test_another_attempt_is_another_block(client: Client) -> None:
    run, ids = await chain(client, "a", "b")
    again = below("a", "a", attempt=2)  # below its own first try
    assert (await report(client, run, again)).block_records[0].parent_block_record_id == ids["a"]


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_two_names_of_the_parent_agree(client: Client, way: Way, path: str) -> None:
    run, ids = await chain(client, "a", "b")
    before = await everything(client, run)
    for name in ("c", "b"):  # a new one, and one that is there
        for other in (ids["b"], "nowhere"):
            outcome = await way(client, run, below(name, "a", parent_block_record_id=other))
            assert (outcome.code, outcome.fields) == (
                "INVALID_ARGUMENT",
                [f"{path}.parent_block_record_id"],
            )
    assert await everything(client, run) == before
    agreeing = below("c", "a", parent_block_record_id=ids["a"])
    assert await way(client, run, agreeing) == Outcome(seq=5)
