"""The page of several workers, while one of them is just starting."""

from prometheus_client import CollectorRegistry, generate_latest

from vwed_grpc.telemetry.multiprocess import gathered


def test_a_file_that_is_just_being_made_hides_nothing_and_fails_nothing() -> None:
    registry = CollectorRegistry()
    with gathered(registry) as directory:
        (directory / "counter_0.db").touch()
        assert generate_latest(registry) == b""
