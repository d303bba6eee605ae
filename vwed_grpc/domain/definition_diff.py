"""What happened between two versions of a definition, by field and block id.

The changes come in the order in which `definition_patch.apply` applies them:

1. Fields, labels, members of the config, its inputs by name (`config.inputs.target`). Objects are
   compared member by member, lists as a whole. So are the inputs if their order changed.
2. REMOVED blocks. `before` is the block with those of its descendants that are gone as well; the
   others have a MOVED of their own.
3. ADDED blocks. `after` is the block with those of its descendants that are new as well. It stands
   at the end of the root list unless a MOVED, then without `before`, tells its place.
4. MOVED blocks: as few as possible, so what an inserted block merely shifted has none. `before` and
   `after` are {parent, branch, index} in the one version and the other, parent and branch "" in
   the root list. They apply together: all are taken out, then put in by growing index.
5. Members of blocks that are in both versions, by id wherever they stand. A list of blocks that
   came or went empty, or went with its last block, is a member too, without blocks:
   `config.blocks[a].children.default`, `[]`.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import TaskDefChange

from vwed_grpc.domain.block_tree import CHILDREN, ROOT, BlockTree
from vwed_grpc.domain.definition_path import BLOCKS, block_path, member_path

_TEXTS = ("name", "description", "task_type")

_MAX_PATH = 512
"""Characters: below a longer path objects are compared as a whole, else long names add up."""

_ADDED = TaskDefChange.KIND_ADDED
_REMOVED = TaskDefChange.KIND_REMOVED
_CHANGED = TaskDefChange.KIND_CHANGED
_MOVED = TaskDefChange.KIND_MOVED


def diff(before: TaskDef, after: TaskDef) -> list[TaskDefChange]:
    """The changes of content (name, description, task_type, config, labels) that lead to `after`.

    Both configs are well formed (`config_tree.config_problems`); an unset one is the empty object.
    """
    return [*_field_changes(before, after), *_config_changes(before.config, after.config)]


def _field_changes(before: TaskDef, after: TaskDef) -> Iterator[TaskDefChange]:
    for field in _TEXTS:
        old, new = (Value(string_value=getattr(each, field)) for each in (before, after))
        if old != new:
            yield TaskDefChange(path=field, kind=_CHANGED, before=old, after=new)
    old_labels, new_labels = (
        {key: Value(string_value=text) for key, text in each.labels.items()}
        for each in (before, after)
    )
    for key in sorted(old_labels.keys() | new_labels):
        yield from _change(old_labels.get(key), new_labels.get(key), f"labels.{key}")


def _config_changes(before: Struct, after: Struct) -> Iterator[TaskDefChange]:
    if before == after:
        return
    yield from _member_changes(before, after, "config", besides=("blocks", "inputs"))
    yield from _input_changes(before.fields.get("inputs"), after.fields.get("inputs"))
    old, new = BlockTree(before), BlockTree(after)
    yield from _block_changes(old, new)
    yield from _list_changes(old, new, ROOT)
    for block_id, block in new.blocks.items():
        if block_id in old.blocks and old.blocks[block_id] != block:
            path = block_path(block_id)
            yield from _member_changes(old.blocks[block_id], block, path, besides=("id", CHILDREN))
            yield from _list_changes(old, new, block_id)


def _change(before: Value | None, after: Value | None, path: str) -> Iterator[TaskDefChange]:
    if before is None or after is None:
        kind = _ADDED if before is None else _REMOVED
        yield TaskDefChange(path=path, kind=kind, before=before, after=after)
    elif before == after:
        return
    elif (
        before.HasField("struct_value")
        and after.HasField("struct_value")
        and len(path) <= _MAX_PATH
    ):
        yield from _member_changes(before.struct_value, after.struct_value, path)
    else:
        yield TaskDefChange(path=path, kind=_CHANGED, before=before, after=after)


def _member_changes(
    before: Struct, after: Struct, path: str, besides: Collection[str] = ()
) -> Iterator[TaskDefChange]:
    for key in sorted({*before.fields, *after.fields}.difference(besides)):
        old, new = before.fields.get(key), after.fields.get(key)
        if old is None or new is None or old != new:
            yield from _change(old, new, member_path(path, key))


def _input_changes(before: Value | None, after: Value | None) -> Iterator[TaskDefChange]:
    path = "config.inputs"
    if before is None or after is None:
        if before is not after:
            yield from _change(before, after, path)
        return
    old, new = _by_name(before), _by_name(after)
    if list(new) != [*(name for name in old if name in new), *(n for n in new if n not in old)]:
        yield TaskDefChange(path=path, kind=_CHANGED, before=before, after=after)
        return
    for name in {**old, **new}:
        yield from _change(old.get(name), new.get(name), member_path(path, name))


def _by_name(inputs: Value) -> dict[str, Value]:
    values = inputs.list_value.values
    return {value.struct_value.fields["name"].string_value: value for value in values}


def _block_changes(before: BlockTree, after: BlockTree) -> Iterator[TaskDefChange]:
    """Blocks REMOVED, ADDED and MOVED."""
    old_places, new_places = dict(before.places()), dict(after.places())
    gone = before.blocks.keys() - after.blocks
    new = after.blocks.keys() - before.blocks
    for block_id, block in before.blocks.items():
        if block_id in gone and old_places[block_id].parent not in gone:
            yield TaskDefChange(
                path=block_path(block_id), kind=_REMOVED, before=_pruned(block, gone)
            )
    for block_id, block in after.blocks.items():
        if block_id in new and new_places[block_id].parent not in new:
            yield TaskDefChange(path=block_path(block_id), kind=_ADDED, after=_pruned(block, new))
    in_place = _in_place(before, after)
    in_place.update(
        takewhile(new.__contains__, reversed(after.branches.get(ROOT, {}).get(ROOT, [])))
    )
    for block_id, place in new_places.items():
        if block_id not in in_place and not (block_id in new and place.parent in new):
            old = old_places.get(block_id)
            yield TaskDefChange(
                path=block_path(block_id),
                kind=_MOVED,
                before=None if old is None else old.to_value(),
                after=place.to_value(),
            )


def _in_place(before: BlockTree, after: BlockTree) -> set[str]:
    """The blocks that need not move: in the same branch, and in the same order there."""
    in_place: set[str] = set()
    for parent, branches in after.branches.items():
        for branch, ids in branches.items():
            old = before.branches.get(parent, {}).get(branch, [])
            if ids == old:
                in_place.update(ids)
            else:
                rank = {block_id: index for index, block_id in enumerate(old)}
                in_place.update(_longest_rising([i for i in ids if i in rank], rank))
    return in_place


def _longest_rising(ids: list[str], rank: Mapping[str, int]) -> Iterator[str]:
    """The ids of a longest subsequence with rising ranks, last one first (patience sorting)."""
    ends: list[str] = []  # of the subsequences of each length, the one that ends lowest
    ranks: list[int] = []
    previous: dict[str, str | None] = {}
    for block_id in ids:
        length = bisect_left(ranks, rank[block_id])
        previous[block_id] = ends[length - 1] if length else None
        ends[length : length + 1] = [block_id]
        ranks[length : length + 1] = [rank[block_id]]
    last = ends[-1] if ends else None
    while last is not None:
        yield last
        last = previous[last]


def _pruned(block: Struct, keep: Collection[str]) -> Value:
    """A block without the descendants that are not kept, and what is below them."""
    value = Value()
    value.struct_value.CopyFrom(block)
    blocks = [value.struct_value]
    while blocks:
        children = blocks.pop().fields.get(CHILDREN)
        if children is None:
            continue
        for branch in children.struct_value.fields.values():
            items = branch.list_value.values
            kept = [i for i in items if i.struct_value.fields["id"].string_value in keep]
            if len(kept) != len(items):
                branch.list_value.CopyFrom(ListValue(values=kept))
            blocks.extend(item.struct_value for item in branch.list_value.values)
    return value


def _list_changes(before: BlockTree, after: BlockTree, parent: str) -> Iterator[TaskDefChange]:
    """Lists of blocks that the blocks in them do not tell of."""
    old, new = before.branches.get(parent), after.branches.get(parent)
    if old is not None and new is not None and old.keys() == new.keys():
        return
    empty = Value(list_value=ListValue())
    whole, none = (
        (BLOCKS, empty)
        if parent == ROOT
        else (member_path(block_path(parent), CHILDREN), Value(struct_value=Struct()))
    )
    if old is not None and new is None:
        yield TaskDefChange(path=whole, kind=_REMOVED, before=none)
    elif old is None and new is not None and (not new or (parent == ROOT and not new[ROOT])):
        yield TaskDefChange(path=whole, kind=_ADDED, after=none)
    if parent == ROOT or new is None:
        return
    old = old or {}
    for branch in sorted(old.keys() | new):
        path = member_path(whole, branch)
        if branch not in new:
            yield TaskDefChange(path=path, kind=_REMOVED, before=empty)
        elif branch not in old and not new[branch]:
            yield TaskDefChange(path=path, kind=_ADDED, after=empty)
