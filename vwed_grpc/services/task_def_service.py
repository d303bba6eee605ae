"""TaskDefService: definitions and templates, with their history."""

from vwed_grpc.services.templates import TaskTemplates


class TaskDefService(TaskTemplates):
    """The RPCs stand with their resources: `definitions`, `templates`."""
