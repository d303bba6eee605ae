"""How a duty fares: what its metrics and the health service say."""

import time

ROWS_IN_A_ROW = 10
"""So many different rows that fail, and none that goes well: then it is not the rows."""
_LOG_SECONDS = 60.0
"""How often one row's trouble is logged."""


class Condition:
    """Told by a duty what becomes of its work."""

    def __init__(self) -> None:
        self.failures = 0
        """Since the start."""
        self.last_success = 0.0
        """When something was done last, or nothing was left to do; UNIX time, 0: not yet."""
        self._failing_since: float | None = None
        self._rows: set[tuple[str, str]] = set()
        """Which rows failed since something went well."""
        self._logged: dict[tuple[str, str], float] = {}

    @property
    def failing_seconds(self) -> float:
        """For how long nothing has gone well although it was tried; 0: the duty is done."""
        if self._failing_since is None:
            return 0.0
        return time.monotonic() - self._failing_since

    @property
    def is_failing(self) -> bool:
        return self._failing_since is not None

    def went_well(self) -> None:
        self._rows.clear()
        self._failing_since = None
        self.last_success = time.time()

    def failed(self) -> None:
        """The duty as a whole: it cannot reach the store, or cannot see what is to be done."""
        self.failures += 1
        self.lags()

    def lags(self) -> None:
        """Nothing is done although something is due."""
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def row_failed(self, tenant: str, row: str = "") -> bool:
        """One row, or one tenant; whether that is news to be logged.

        A row's failure is its own trouble. That of many, and of no others, is the duty's.
        """
        self.failures += 1
        self._rows.add((tenant, row))
        if len(self._rows) >= ROWS_IN_A_ROW:
            self.lags()
        now = time.monotonic()
        self._logged = {key: at for key, at in self._logged.items() if at > now - _LOG_SECONDS}
        if (tenant, row) in self._logged:
            return False
        self._logged[tenant, row] = now
        return True
