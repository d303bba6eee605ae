"""The tree of blocks of a well-formed config, taken apart: each block by its id, and its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.struct_pb2 import Struct, Value

ROOT = ""
"""Stands for the parent of the blocks that have none, and for the branch they are in; no id is
empty."""

CHILDREN = "children"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block stands: `branch` of the block `parent`, `index` from 0."""

    parent: str
    branch: str
    index: int

    def to_value(self) -> Value:
        value = Value()
        fields = value.struct_value.fields
        fields["parent"].string_value = self.parent
        fields["branch"].string_value = self.branch
        fields["index"].number_value = self.index
        return value


class BlockTree:
    """The blocks of a config by id, level by level."""

    def __init__(self, config: Struct) -> None:
        self.blocks: dict[str, Struct] = {}
        """As they stand in the config, their children included."""
        self.branches: dict[str, dict[str, list[str]]] = {}
        """The ids in each branch of each block with `children`; of ROOT if there are `blocks`."""
        blocks = config.fields.get("blocks")
        if blocks is not None:
            self._add({ROOT: {ROOT: blocks}})

    def places(self) -> Iterator[tuple[str, Place]]:
        """Every block that is in a branch, branch by branch, by growing index."""
        for parent, branches in self.branches.items():
            for branch, ids in branches.items():
                for index, block_id in enumerate(ids):
                    yield block_id, Place(parent, branch, index)

    def _add(self, level: dict[str, Mapping[str, Value]]) -> None:
        while level:
            below: dict[str, Mapping[str, Value]] = {}
            for parent, branches in level.items():
                ids = self.branches[parent] = {}
                for branch in sorted(branches):  # maps have no order of their own
                    blocks = [item.struct_value for item in branches[branch].list_value.values]
                    ids[branch] = [self._own(block) for block in blocks]
                    for block_id, block in zip(ids[branch], blocks, strict=True):
                        if CHILDREN in block.fields:
                            below[block_id] = block.fields[CHILDREN].struct_value.fields
            level = below

    def _own(self, block: Struct) -> str:
        block_id = block.fields["id"].string_value
        self.blocks[block_id] = block
        return block_id
