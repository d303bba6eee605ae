"""The tasks of an executor: which code is for which runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed.client.executor.run_driver import Work

_LISTS = {
    "ids": "id",
    "task_def_ids": "task_def_id",
    "task_def_names": "task_def_name",
    "task_types": "task_type",
    "external_ids": "external_id",
}
"""Lists of a filter, each with the run's own field, of which no claim changes anything."""


@dataclass(frozen=True, slots=True)
class Task:
    filter: TaskRecordFilter
    work: Work

    @property
    def one_list(self) -> str | None:
        """The filter's only field, if a run shows by itself whether it is in it."""
        names = [field.name for field, _ in self.filter.ListFields()]
        return names[0] if len(names) == 1 and names[0] in _LISTS else None

    def matches(self, record: TaskRecord) -> bool:
        """Only of a task with `one_list`."""
        name = self.one_list or ""
        return getattr(record, _LISTS[name]) in getattr(self.filter, name)


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """One kind of claim, and whose runs it brings."""

    filter: TaskRecordFilter
    tasks: Sequence[Task]

    def task_of(self, record: TaskRecord) -> Task:
        """Of several, the first whose filter has it."""
        if len(self.tasks) == 1:
            return self.tasks[0]
        return next(task for task in self.tasks if task.matches(record))


def claim_filters(tasks: Sequence[Task]) -> list[ClaimFilter]:
    """One for all tasks whose filters have one list each, and the same; else one for each."""
    lists = {task.one_list for task in tasks}
    if len(tasks) == 1 or len(lists) > 1 or None in lists:
        return [ClaimFilter(task.filter, [task]) for task in tasks]
    union = TaskRecordFilter()
    for task in tasks:
        union.MergeFrom(task.filter)
    return [ClaimFilter(union, tasks)]
