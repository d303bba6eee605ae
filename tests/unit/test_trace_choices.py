"""What tracing does without anybody who exports, and without the extra."""

import sys

import pytest

from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.telemetry import export
from vwed_grpc.telemetry.tracing import Tracing, begin_step, current, step


def test_without_the_extra_the_start_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, export._EXPORTER, None)
    with pytest.raises(CannotServeError, match=r"needs: pip install 'vwed-grpc\[tracing\]'"):
        export.check_extra()


def test_outside_of_a_traced_call_steps_are_none() -> None:
    assert current() is None
    assert begin_step("redis", "GET") is None
    assert step("redis", "GET") is step("postgresql", "SELECT 1")


@pytest.mark.parametrize(
    "sent", ["", "rubbish", "00-0-0-01", f"00-{'0' * 32}-{'0' * 16}-01", "00-" + "a" * 9_000]
)
def test_a_traceparent_that_says_nothing_leaves_the_choice_to_the_share(sent: str) -> None:
    metadata = (("traceparent", sent), ("tracestate", b"\xff"))
    assert Tracing(0.0).begin("S", "M", metadata) is None
    assert Tracing(1.0).begin("S", "M", metadata) is not None
