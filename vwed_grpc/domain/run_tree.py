"""Where runs below deleted ones go."""

from collections.abc import Mapping
from dataclasses import dataclass

from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.lifecycle import Status


@dataclass(frozen=True, slots=True)
class Below:
    """A run below another."""

    parent: str
    status: Status


@dataclass(frozen=True, slots=True)
class Place:
    """A run's place in its tree; None: as it was."""

    root: str | None
    parent: str | None = None
    parent_block: str | None = None


def moves(deleted: Mapping[str, TaskRecord], below: Mapping[str, Below]) -> dict[str, Place]:
    """The new places of runs that stay, of all below the deleted ones, parents before their runs.

    Those directly below take the place of the deleted run: its parent, and the parent's block that
    had started it. Where that leaves a run without a parent, it is the root of what is below it.
    """
    places: dict[str, Place] = {}
    for id_, run in below.items():
        if id_ in deleted:
            continue
        above = deleted.get(run.parent)
        if above is None:
            # Its root is what that of its parent has become.
            if (moved := places.get(run.parent)) and moved.root is not None:
                places[id_] = Place(moved.root)
            continue
        while above.parent_task_record_id in deleted:
            above = deleted[above.parent_task_record_id]
        parent = above.parent_task_record_id
        if not parent:
            root: str | None = id_
        else:
            root = places[parent].root if parent in places else None
        places[id_] = Place(root, parent, above.parent_block_record_id)
    return places
