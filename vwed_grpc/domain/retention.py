"""How long runs and their events are kept, by tenant."""

from collections.abc import Mapping
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

EVERY_TENANT = "*"
LONGEST_DAYS = 365_000


class Retention(BaseModel):
    """Days after its end that a run is kept, and days that events are; None: for ever.

    A thousand years at most: what is older than that is before the times that a database counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs_days: float | None = Field(default=None, gt=0, le=LONGEST_DAYS)
    events_days: float | None = Field(default=None, gt=0, le=LONGEST_DAYS)

    @property
    def runs(self) -> timedelta | None:
        return None if self.runs_days is None else timedelta(days=self.runs_days)

    @property
    def events(self) -> timedelta | None:
        """Unless said, events go with their runs: they are the history of what is gone."""
        days = self.events_days or self.runs_days
        return None if days is None else timedelta(days=days)


def of_tenant(rules: Mapping[str, Retention], tenant: str) -> Retention:
    """A tenant's own rule, else the one of every tenant, else: keep everything."""
    return rules.get(tenant) or rules.get(EVERY_TENANT) or Retention()
