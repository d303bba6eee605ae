"""Wheels as pip builds them, with the pinned build backend that is here: no network is needed."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

_BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"


def built(package: Path, to: Path) -> Path:
    """The wheel of a folder that has a pyproject.toml; `to` is an empty folder."""
    to.mkdir(exist_ok=True)
    command = (sys.executable, "-c", _BUILD, to)
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = to.iterdir()
    return wheel


def packed(wheel: Path) -> dict[str, bytes]:
    """What it installs, but for what is said of it."""
    with ZipFile(wheel) as archive:
        names = (name for name in archive.namelist() if ".dist-info/" not in name)
        return {name: archive.read(name) for name in names}


def kept(root: Path, *packages: str) -> dict[str, bytes]:
    """The same of the source tree: every file of the packages, by its path below `root`."""
    found = (path for package in packages for path in (root / package).rglob("*"))
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in found
        if path.is_file() and path.suffix != ".pyc"
    }
