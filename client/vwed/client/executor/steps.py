"""The blocks of a definition, as code goes through them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.struct_pb2 import Struct
from vwed.v1.task_def_pb2 import TaskDef

from vwed.client.values import as_dict, as_struct


@dataclass(frozen=True, slots=True)
class Step:
    """One block of the pinned definition. Runs share it: leave it as it is."""

    id: str
    type: str
    name: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    """As the definition has them: references in them are for the code to resolve."""
    children: dict[str, list["Step"]] = field(default_factory=dict)
    """By branch: `default`, `then`, `else`, or whatever the definition calls them."""
    input_data: Struct = field(default_factory=Struct, repr=False, compare=False)
    """The same as `inputs`, for the reports."""


def steps_of(definition: TaskDef) -> list[Step]:
    return _steps(as_dict(definition.config).get("blocks", []))


def _steps(blocks: Sequence[dict[str, Any]]) -> list[Step]:
    return [
        Step(
            id=block["id"],
            type=block["type"],
            name=block.get("name", ""),
            inputs=block.get("inputs", {}),
            children={name: _steps(below) for name, below in block.get("children", {}).items()},
            input_data=as_struct(block.get("inputs", {})),
        )
        for block in blocks
    ]
