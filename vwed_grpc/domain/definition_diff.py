"""What happened between two versions of a definition, by field and block id.

Each change applies by itself to what those before it left; all of them, in order, give the new
version:

1. Fields, labels, members of the config, its inputs by name (`config.inputs.target`). Objects are
   compared member by member, lists as a whole. So are the inputs if their order changed.
2. ADDED blocks, each at the end of the root list. `after` is the block with those of its
   descendants that are new as well.
3. MOVED blocks: taken out of where they are and put in at `after`, {parent, branch, index}, parent
   and branch "" in the root list; a branch comes with its first block. That is the place in the
   new version, and `before` the one in the old version, unset for an added block. As few as
   possible move, so what an inserted block merely shifted does not. One that is in the way of
   another moves to the end of the root list first.
4. REMOVED blocks; one that is in the way goes before the move. `before` is the block with those of
   its descendants that are gone as well: the others have moved.
5. Members of blocks that are in both versions, by id wherever they stand. A list of blocks that
   came or went empty, or went with its last block, is a member too, without blocks:
   `config.blocks[a].children.default`, `[]`.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import DiffTaskDefVersionsResponse, TaskDefChange

from vwed_grpc.domain.block_tree import CHILDREN, ROOT, BlockTree, Place
from vwed_grpc.domain.definition_path import BLOCKS, block_path, member_path

_TEXTS = ("name", "description", "task_type")

_MAX_PATH = 512
"""Characters: below a longer path objects are compared as a whole, else long names add up."""

_ADDED = TaskDefChange.KIND_ADDED
_REMOVED = TaskDefChange.KIND_REMOVED
_CHANGED = TaskDefChange.KIND_CHANGED
_MOVED = TaskDefChange.KIND_MOVED


def difference(before: bytes, after: bytes) -> bytes:
    """`diff` of two serialized definitions, as a serialized DiffTaskDefVersionsResponse."""
    changes = diff(TaskDef.FromString(before), TaskDef.FromString(after))
    return DiffTaskDefVersionsResponse(changes=changes).SerializeToString()


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
        yield from _change(before.fields.get(key), after.fields.get(key), member_path(path, key))


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
    """Blocks ADDED, MOVED and REMOVED."""
    new = after.blocks.keys() - before.blocks
    new_places = dict(after.places())
    added = [id_ for id_ in after.blocks if id_ in new and new_places[id_].parent not in new]
    for block_id in added:
        block = _pruned(after.blocks[block_id], new)
        yield TaskDefChange(path=block_path(block_id), kind=_ADDED, after=block)
    in_place = _in_place(before, after)
    in_place.update(
        takewhile(new.__contains__, reversed(after.branches.get(ROOT, {}).get(ROOT, [])))
    )
    rebuilding = _Rebuilding(before, after, added)
    for block_id, place in new_places.items():  # parents first, so no block comes to be in itself
        if block_id not in in_place and not (block_id in new and place.parent in new):
            yield from rebuilding.move(block_id, place)
    for block_id, place in before.places():
        if place.parent not in rebuilding.gone:
            yield from rebuilding.remove(block_id)


class _Rebuilding:
    """The blocks as they stand while the changes are applied."""

    def __init__(self, before: BlockTree, after: BlockTree, added: list[str]) -> None:
        self.gone = before.blocks.keys() - after.blocks
        """Those that are yet to be removed."""
        self._before = before
        self._after = after
        self._old_places = dict(before.places())
        self._branches = {
            parent: {branch: list(ids) for branch, ids in branches.items()}
            for parent, branches in before.branches.items()
        }
        new = after.blocks.keys() - before.blocks
        for parent in new & after.branches.keys():
            self._branches[parent] = {
                branch: [id_ for id_ in ids if id_ in new]  # they came with it
                for branch, ids in after.branches[parent].items()
            }
        self._roots = self._branch(ROOT, ROOT)
        self._roots += added
        self._siblings = {
            id_: ids
            for branches in self._branches.values()
            for ids in branches.values()
            for id_ in ids
        }

    def move(self, block_id: str, place: Place) -> Iterator[TaskDefChange]:
        """To its place in the new version, where all that come before it are settled."""
        siblings = self._branch(place.parent, place.branch)
        if place.index:
            settled = self._after.branches[place.parent][place.branch][: place.index]
            in_front = siblings[: siblings.index(settled[-1])]
            if len(in_front) - (block_id in in_front) >= place.index:
                stay = {block_id, *settled}
                for other in in_front:
                    if other not in stay:
                        yield from self._clear(other)
        yield self._put(block_id, place)

    def remove(self, block_id: str) -> Iterator[TaskDefChange]:
        """A block that is gone, with those below it that are."""
        if block_id not in self.gone:
            return
        block = _pruned(self._before.blocks[block_id], self.gone)
        yield from self._rescue(block_id)
        self._siblings[block_id].remove(block_id)
        yield TaskDefChange(path=block_path(block_id), kind=_REMOVED, before=block)

    def _clear(self, block_id: str) -> Iterator[TaskDefChange]:
        """Gets a block out of the way."""
        if block_id in self.gone:
            yield from self.remove(block_id)
        else:
            roots = len(self._roots) - (self._siblings[block_id] is self._roots)
            yield self._put(block_id, Place(ROOT, ROOT, roots))

    def _rescue(self, block_id: str) -> Iterator[TaskDefChange]:
        """Takes out of a block what is to stay, and forgets the rest."""
        self.gone.discard(block_id)
        for ids in self._branches.get(block_id, {}).values():
            for below in list(ids):
                yield from self._rescue(below) if below in self.gone else self._clear(below)

    def _put(self, block_id: str, place: Place) -> TaskDefChange:
        self._siblings[block_id].remove(block_id)
        siblings = self._siblings[block_id] = self._branch(place.parent, place.branch)
        siblings.insert(place.index, block_id)
        old = self._old_places.get(block_id)
        return TaskDefChange(
            path=block_path(block_id),
            kind=_MOVED,
            before=None if old is None else old.to_value(),
            after=place.to_value(),
        )

    def _branch(self, parent: str, branch: str) -> list[str]:
        return self._branches.setdefault(parent, {}).setdefault(branch, [])


def _in_place(before: BlockTree, after: BlockTree) -> set[str]:
    """The blocks that need not move: in the same branch, and in the same order there."""
    in_place: set[str] = set()
    for parent, branches in after.branches.items():
        for branch, ids in branches.items():
            old = before.branches.get(parent, {}).get(branch, [])
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
    elif old is None and new is not None and not any(new.values()):
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
