"""Settings of a process, as another one is given them."""

import pytest

from vwed_grpc.settings import Settings


def test_another_process_is_given_these_settings_and_nothing_of_this_one_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VWED_METRICS_LISTEN", "127.0.0.1:9100")
    monkeypatch.setenv("vwed_workers", "2")
    monkeypatch.setenv("VWED_OF_OTHERS", "stays")
    settings = Settings().model_copy(update={"metrics_listen": None, "workers": 1})
    given = settings.environment()
    assert "VWED_METRICS_LISTEN" not in given
    assert "vwed_workers" not in given
    assert (given["VWED_WORKERS"], given["VWED_OF_OTHERS"]) == ("1", "stays")
    assert given["VWED_LISTEN"] == settings.listen
