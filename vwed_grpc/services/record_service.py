"""RecordService: runs, their blocks, and the live history of both."""

from vwed_grpc.services.blocks import BlockRecords
from vwed_grpc.services.executor_verbs import ExecutorVerbs
from vwed_grpc.services.figures import Figures
from vwed_grpc.services.operator_verbs import OperatorVerbs
from vwed_grpc.services.runs import TaskRecords
from vwed_grpc.services.watches import History


class RecordService(TaskRecords, ExecutorVerbs, OperatorVerbs, BlockRecords, History, Figures):
    """The RPCs stand by subject, in the modules imported here."""
