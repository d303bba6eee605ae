"""What `make dist` has written into dist/ is complete, can be built again, and serves."""

import re
import sys
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata

from protos.archive import write
from tests.support.environments import called, installed, run
from tests.support.process import Process
from tests.support.wheels import built, kept, packed

pytestmark = pytest.mark.artifacts

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
VERSION = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]["version"]
PACKAGES = {"vwed_client": ROOT / "client", "vwed_grpc": ROOT}
CONTENTS = {
    "vwed_client": kept(ROOT / "client", "vwed/client", "vwed/v1"),
    "vwed_grpc": kept(ROOT, "vwed_grpc"),
}
each = pytest.mark.parametrize("name", PACKAGES)


def wheel(name: str) -> Path:
    return DIST / f"{name}-{VERSION}-py3-none-any.whl"


def sdist(name: str) -> Path:
    return DIST / f"{name}-{VERSION}.tar.gz"


def test_nothing_else_is_there() -> None:
    made = {make(name) for name in PACKAGES for make in (wheel, sdist)}
    assert {*DIST.iterdir()} == made | {DIST / f"vwed-protos-{VERSION}.zip"}


@each
def test_a_wheel_has_the_package_and_says_what_it_is(name: str) -> None:
    assert packed(wheel(name)) == CONTENTS[name]
    assert any(path.endswith("/py.typed") for path in CONTENTS[name])
    information = f"{name}-{VERSION}.dist-info"
    with ZipFile(wheel(name)) as archive:
        license_ = archive.read(f"{information}/licenses/LICENSE")
        metadata = Metadata.from_email(archive.read(f"{information}/METADATA"), validate=True)
    assert license_ == (ROOT / "LICENSE").read_bytes()
    assert (metadata.license_expression, metadata.license_files) == ("Apache-2.0", ["LICENSE"])
    assert (str(metadata.version), metadata.description_content_type) == (VERSION, "text/markdown")
    assert metadata.description == (PACKAGES[name] / "README.md").read_text()


@each
def test_an_sdist_has_what_its_wheel_is_built_of(name: str, tmp_path: Path) -> None:
    with tarfile.open(sdist(name)) as archive:
        archive.extractall(tmp_path, filter="data")
    tree = tmp_path / f"{name}-{VERSION}"
    about = {"LICENSE", "README.md", "PKG-INFO", "pyproject.toml", ".gitignore"}
    assert kept(tree, ".").keys() == CONTENTS[name].keys() | about
    assert built(tree, tmp_path / "wheel").read_bytes() == wheel(name).read_bytes()


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, package in PACKAGES.items():
        to = tmp_path / name
        assert (
            run(sys.executable, "-m", "hatchling", "build", "-d", to, cwd=package).returncode == 0
        )
        for file in to.iterdir():
            assert file.read_bytes() == (DIST / file.name).read_bytes()
    archive = write(tmp_path)
    assert archive.read_bytes() == (DIST / archive.name).read_bytes()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has what the image has, from the wheels."""
    where = tmp_path_factory.mktemp("environment")
    locked = ("--no-deps", "--require-hashes", "-r", str(ROOT / "deploy/requirements.lock"))
    python = installed(where, *locked)
    wheels = ("--no-deps", *(str(wheel(name)) for name in PACKAGES))
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *wheels)
    assert done.returncode == 0, done.stderr
    checked = run(sys.executable, "-m", "pip", "--python", python, "check")
    assert checked.returncode == 0, checked.stdout
    return python


def test_what_is_installed_serves(python: Path, tenant: str, tmp_path: Path) -> None:
    command = python.parent / "vwed-grpc"
    said = run(command, "--version", cwd=tmp_path)
    assert said.stdout == f"vwed-grpc, version {VERSION}\n"
    server = Process(tmp_path / "data", command=command, PYTHONPATH="")
    try:
        server.start()
        assert re.search(" 陈静 TASK_DEF_NOT_FOUND$", called(python, server.address, tenant))
    finally:
        server.close()
