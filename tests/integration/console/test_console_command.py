"""How the command ends that cannot begin."""

import socket
import sys

import pytest
from click.testing import CliRunner

from vwed_grpc.cli.main import main


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = CliRunner().invoke(main, ["console", "--listen", listen])
    assert done.exit_code == 1
    assert done.output == f"Error: cannot listen on {listen}: Address already in use\n"


@pytest.mark.parametrize("listen", ["8080", "localhost:", "localhost:http", "127.0.0.1:99999"])
def test_what_is_no_address(listen: str) -> None:
    done = CliRunner().invoke(main, ["console", "--listen", listen])
    assert done.exit_code == 2
    assert done.output == f"Error: --listen: {listen!r} is not host:port\n"


def test_what_it_needs_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not installed
    done = CliRunner().invoke(main, ["console"])
    assert done.exit_code == 1
    assert done.output == "Error: uvicorn is missing: pip install 'vwed-grpc[console]'\n"
