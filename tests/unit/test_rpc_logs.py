import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from vwed_grpc.process import logs


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    configured = structlog.get_config()
    yield
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def fail(secret: str) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1")
    try:
        [][len(secret)]
    except IndexError:
        structlog.get_logger().exception("internal error")


def test_json_has_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=True)
    structlog.get_logger().debug("not this")
    fail("hunter2")
    logging.getLogger("grpc").warning("from a library")
    logging.getLogger("grpc").info("not this")
    out, err = capsys.readouterr()
    assert out == ""
    ours, theirs = (json.loads(line) for line in err.splitlines())
    assert (ours["event"], ours["level"]) == ("internal error", "error")
    assert ours["request_id"] == "r-1"
    assert "IndexError" in ours["exception"]
    assert "hunter2" not in err
    assert (theirs["event"], theirs["level"]) == ("from a library", "warning")


def test_text_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", json=False)
    structlog.get_logger().debug("call", method="Get")
    fail("hunter2")
    err = capsys.readouterr().err
    assert "call" in err
    assert "IndexError" in err
    assert "hunter2" not in err


def test_a_level_that_is_none() -> None:
    with pytest.raises(ValueError, match="unknown log level 'loud'"):
        logs.configure("loud", json=False)
