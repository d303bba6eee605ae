"""An everyday load for VWED_SOAK_SECONDS: nothing grows, nobody is told what nothing explains."""

import os
from pathlib import Path

import pytest

from bench.process import ROOT
from bench.table import fill
from tests.faults.errors_met import MAY_CAUSE
from tests.faults.soak import retention, soak

LONG = 1_800.0
EVENTS_A_SECOND = 20
"""At least, or it was no load."""
PAGE = ROOT / "docs" / "reliability.md"


@pytest.mark.soak
async def test_nothing_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = float(os.environ.get("VWED_SOAK_SECONDS", LONG))
    monkeypatch.setenv("VWED_RETENTION", retention())
    soaked = await soak(tmp_path, seconds)
    verdict = soaked.verdict
    crowd = dict(soaked.crowd.counts)
    print(f"\n{soaked.page}\n\n{soaked.crowd.lives} crowds: {crowd}\n{verdict}")  # noqa: T201 - they are what one runs it for
    assert verdict.violations == {}
    assert set(verdict.done) == set(MAY_CAUSE)
    assert verdict.events >= EVENTS_A_SECOND * seconds
    if seconds >= LONG:
        fill(PAGE, "soak", soaked.page)
