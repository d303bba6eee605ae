"""The lease of one run, as this process knows it without asking."""

from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client.executor.clock import now
from vwed.client.executor.statuses import HELD


class Lease:
    """Who holds the run, under which epoch, and until when that is certain.

    Certain is what was acknowledged: the service counts from when it renewed the lease, which is
    later than the call was sent; so it is not over there before it is over here.
    """

    def __init__(self, executor_id: str, seconds: float, epoch: int, sent: float) -> None:
        self.executor_id = executor_id
        self.seconds = seconds
        self.epoch = epoch
        self.renewed = sent
        """When the call was sent that renewed it last, by `clock.now`."""

    @property
    def until(self) -> float:
        return self.renewed + self.seconds

    def is_valid(self) -> bool:
        return now() < self.renewed + self.seconds

    def renew(self, sent: float) -> None:
        """The service answered a call of the holder that renews the lease, whatever it was."""
        self.renewed = max(self.renewed, sent)

    def renew_if_in_time(self, sent: float, received: float) -> None:
        """The same for a report: the service takes it after the end too, and renews nothing then.

        An acknowledgement that came before the end here was written before the end there.
        """
        if received < self.until:
            self.renew(sent)

    def end(self) -> None:
        """The service says that it is over."""
        self.renewed = now() - self.seconds

    def is_held_by(self, record: TaskRecord) -> bool:
        """Whether the run, as the service has it, is held by this process."""
        return self.is_epoch_of(record) and record.status in HELD

    def is_epoch_of(self, record: TaskRecord) -> bool:
        return record.lease_epoch == self.epoch and record.executor_id == self.executor_id

    def take_over(self, record: TaskRecord, sent: float) -> bool:
        """Go on under the next epoch, which a claim of this process was given.

        Only if nobody had the run in between: else it is not the run that this process left.
        """
        if record.executor_id != self.executor_id or record.lease_epoch != self.epoch + 1:
            return False
        self.epoch += 1
        if record.status in HELD:
            self.renewed = sent
        else:
            self.end()
        return True
