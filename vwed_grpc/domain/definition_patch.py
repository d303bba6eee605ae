"""Applying the changes of `definition_diff.diff`."""

from collections.abc import Iterable

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import TaskDefChange

from vwed_grpc.domain.block_tree import CHILDREN, ROOT, BlockTree, Place
from vwed_grpc.domain.definition_path import BLOCKS, parse


def apply(before: TaskDef, changes: Iterable[TaskDefChange]) -> TaskDef:
    """`before` with the changes that lead from it to another content; `before` is not changed.

    The changes are all that `definition_diff.diff` gave, in their order.
    """
    after = TaskDef()
    after.CopyFrom(before)
    blocks = _Blocks(after.config)
    for change in changes:
        field, _, rest = change.path.partition(".")
        if field == "config":
            _apply_to_config(change, after.config, blocks)
        elif field != "labels":
            setattr(after, field, change.after.string_value)
        elif change.HasField("after"):
            after.labels[rest] = change.after.string_value
        else:
            del after.labels[rest]
    blocks.put_together(after.config)
    return after


def _apply_to_config(change: TaskDefChange, config: Struct, blocks: "_Blocks") -> None:
    block_id, steps = parse(change.path)
    if block_id is None and change.path == BLOCKS:
        blocks.change_list(ROOT, [ROOT], change)
    elif block_id is None and steps[0] == "inputs" and len(steps) > 1:
        _apply_to_input(change, config.fields["inputs"], steps[1:])
    elif block_id is None:
        _apply_to_member(change, config, steps)
    elif not steps:
        blocks.change_block(block_id, change)
    elif steps[0] == CHILDREN:
        blocks.change_list(block_id, steps[1:], change)
    else:
        _apply_to_member(change, blocks.tree.blocks[block_id], steps)


def _apply_to_member(change: TaskDefChange, inside: Struct, steps: list[str]) -> None:
    for step in steps[:-1]:
        inside = inside.fields[step].struct_value
    if change.HasField("after"):
        inside.fields[steps[-1]].CopyFrom(change.after)
    else:
        del inside.fields[steps[-1]]


def _apply_to_input(change: TaskDefChange, inputs: Value, steps: list[str]) -> None:
    values = inputs.list_value.values
    names = [value.struct_value.fields["name"].string_value for value in values]
    if steps[0] not in names:
        values.append(change.after)
        return
    index = names.index(steps[0])
    if len(steps) > 1:
        _apply_to_member(change, values[index].struct_value, steps[1:])
    elif change.HasField("after"):
        values[index].CopyFrom(change.after)
    else:
        del values[index]


class _Blocks:
    """The blocks of a config while changes are applied."""

    def __init__(self, config: Struct) -> None:
        self.tree = BlockTree(config)
        self._removed: set[str] = set()
        self._added: list[str] = []
        self._moved: dict[str, Place] = {}

    def change_block(self, block_id: str, change: TaskDefChange) -> None:
        match change.kind:
            case TaskDefChange.KIND_REMOVED:
                removed = BlockTree(Struct())
                removed.graft(change.before.struct_value)
                for each in removed.blocks:
                    self._removed.add(each)
                    self.tree.branches.pop(each, None)
            case TaskDefChange.KIND_ADDED:
                self.tree.graft(change.after.struct_value)
                self._added.append(block_id)
            case TaskDefChange.KIND_MOVED:
                self._moved[block_id] = Place.of(change.after)

    def change_list(self, parent: str, steps: list[str], change: TaskDefChange) -> None:
        """`steps` leads from `children` to a branch, or nowhere."""
        branches = self.tree.branches
        if change.HasField("after"):
            branches.setdefault(parent, {}).update({branch: [] for branch in steps})
        elif parent != ROOT and steps:
            del branches[parent][steps[0]]
        else:
            del branches[parent]

    def put_together(self, config: Struct) -> None:
        """Places what was added and moved, and gives the config its tree again."""
        tree = self.tree
        leaving = self._removed.union(self._moved)
        for branches in tree.branches.values():
            for branch, ids in branches.items():
                branches[branch] = [block_id for block_id in ids if block_id not in leaving]
        for block_id, place in sorted(self._moved.items(), key=lambda moved: moved[1].index):
            self._branch(place.parent, place.branch).insert(place.index, block_id)
        for block_id in self._added:
            if block_id not in self._moved:
                self._branch(ROOT, ROOT).append(block_id)
        if ROOT in tree.branches:
            roots = [self._whole(block_id) for block_id in tree.branches[ROOT][ROOT]]
            config.fields["blocks"].list_value.CopyFrom(ListValue(values=roots))
        else:
            config.fields.pop("blocks", None)

    def _branch(self, parent: str, branch: str) -> list[str]:
        return self.tree.branches.setdefault(parent, {}).setdefault(branch, [])

    def _whole(self, block_id: str) -> Value:
        """A block with the children that it has now."""
        whole = Value()
        fields = whole.struct_value.fields
        for key, member in self.tree.blocks[block_id].fields.items():
            if key != CHILDREN:
                fields[key].CopyFrom(member)
        if block_id in self.tree.branches:
            fields[CHILDREN].struct_value.SetInParent()
            children = fields[CHILDREN].struct_value.fields
            for branch, ids in self.tree.branches[block_id].items():
                blocks = ListValue(values=[self._whole(child) for child in ids])
                children[branch].list_value.CopyFrom(blocks)
        return whole
