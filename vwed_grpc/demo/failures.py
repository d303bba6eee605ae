class BlockFailed(Exception):
    """A block did not do what it should; the run ends FAILED with `error_code`."""

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class RunCanceled(Exception):
    """An operator asked the run to end."""
