"""The pictures of README and docs can be drawn anew, and ask no other host for anything."""

import re
from pathlib import Path

from bench.pictures import PICTURES, draw

ELSEWHERE = re.compile(r"(?:url\(|href=|src=)\W*https?:")


async def test_they_are_drawn_from_the_demo(target: str, tmp_path: Path) -> None:
    await draw(target, tmp_path, speed=0)
    for name in ("watch.svg", "timeline.svg"):
        drawn, shown = (folder / name for folder in (tmp_path, PICTURES))
        for picture in (drawn, shown):
            text = picture.read_text()
            assert "pick_zones" in text
            assert not ELSEWHERE.search(text)
