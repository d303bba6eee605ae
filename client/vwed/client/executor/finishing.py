"""The last that is said of a run."""

from vwed.v1.record_service_pb2 import FinishTaskRecordRequest, ReleaseTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client.connection import Client
from vwed.client.errors import CallError, IllegalTransition
from vwed.client.executor.ending import Ending
from vwed.client.executor.fenced_calls import FencedCalls
from vwed.client.executor.statuses import CANCELED, FAILED
from vwed.client.executor.stopping import StopReason
from vwed.client.executor.texts import ERROR_MESSAGE, text


class Finishing:
    """Raises RunOver where the run is not this process's any more."""

    def __init__(self, client: Client, holding: FencedCalls, run_id: str) -> None:
        self._records = client.records
        self._fenced = holding
        self._run_id = run_id

    async def finish(self, ending: Ending) -> TaskRecord:
        """The run as it ended; with a result that the service does not take, it has failed."""
        try:
            return await self._finish(ending)
        except CallError as exc:
            if ending.result is None:
                raise
            message = text(exc, ERROR_MESSAGE)
            return await self._finish(Ending(FAILED, None, "RESULT_REFUSED", message))

    async def _finish(self, ending: Ending) -> TaskRecord:
        request = FinishTaskRecordRequest(
            id=self._run_id,
            status=ending.status,
            result=ending.result,
            error_code=ending.error_code,
            error_message=ending.error_message,
        )
        answer = await self._fenced.call(self._records.FinishTaskRecord, request)
        return answer.response

    async def release(self, reason: StopReason) -> TaskRecord:
        """The run, which others may go on with at once, unless it was canceled meanwhile."""
        request = ReleaseTaskRecordRequest(id=self._run_id, reason=reason.value)
        try:
            answer = await self._fenced.call(self._records.ReleaseTaskRecord, request)
        except IllegalTransition:  # it is CANCELING: the holder alone can end it
            return await self._finish(Ending(CANCELED))
        return answer.response
