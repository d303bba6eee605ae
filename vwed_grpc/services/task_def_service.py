"""TaskDefService: definitions and templates, with their history."""

from vwed_grpc.services.transfer import Transfer


class TaskDefService(Transfer):
    """The RPCs stand by subject: `definitions`, `definition_history`, `templates`, `transfer`."""
