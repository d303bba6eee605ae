"""The tree of blocks of a well-formed config, taken apart: each block by its id, and where it is."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from google.protobuf.struct_pb2 import ListValue, Struct, Value

ROOT = ""
"""Stands for the parent of the blocks that have none, and for the branch they are in: no id is
empty."""

CHILDREN = "children"


class Place(NamedTuple):
    """Where a block stands."""

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

    @classmethod
    def of(cls, value: Value) -> "Place":
        fields = value.struct_value.fields
        index = int(fields["index"].number_value)
        return cls(fields["parent"].string_value, fields["branch"].string_value, index)


class BlockTree:
    """Blocks by id, parents before their children.

    `branches` has the ids in each branch of each block that has `children`, and of ROOT if the
    config has `blocks`.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, Struct] = {}
        """As they are in the config, `children` included."""
        self.branches: dict[str, dict[str, list[str]]] = {}

    @classmethod
    def of(cls, config: Struct) -> "BlockTree":
        tree = cls()
        blocks = config.fields.get("blocks")
        if blocks is not None:
            tree.add(ROOT, {ROOT: blocks})
        return tree

    def add(self, parent: str, branches: Mapping[str, Value])
