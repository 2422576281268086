"""Wheel and sdist: built from the files of git, whole, and what the index' own checks ask for."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*words: object) -> str:
    """Run a module of this Python, and give what it says; the test fails with that where it fails."""
    done = subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel, made from the sdist beside it."""
    for module in ("build", "hatchling", "twine", "check_wheel_contents"):
        pytest.importorskip(module, reason=f"the Python package {module} is not installed: pip install '.[packaging]'")
    out = tmp_path_factory.mktemp("dist")
    run("build", "--no-isolation", "--outdir", out, ROOT)
    return out


def only(folder: Path, ending: str) -> Path:
    (file,) = folder.glob(f"*{ending}")
    return file


def members(sdist: Path) -> Sequence[str]:
    with tarfile.open(sdist) as file:
        return [name.partition("/")[2] for name in file.getnames()]


def test_the_index_takes_both(built: Path) -> None:
    said = run("twine", "check", "--strict", only(built, ".whl"), only(built, ".tar.gz"))
    assert said.count("PASSED") == 2


def test_the_wheel_has_the_package_and_nothing_beside_it(built: Path) -> None:
    run("check_wheel_contents", "--toplevel", "dorl", only(built, ".whl"))
    with zipfile.ZipFile(only(built, ".whl")) as file:
        names = set(file.namelist())
    source = {f"dorl/{path.relative_to(ROOT / 'src' / 'dorl').as_posix()}" for path in tracked("src/dorl")}
    assert {name for name in names if name.startswith("dorl/")} == source
    assert "dorl/py.typed" in names
    assert "dorl/weights/tiny.safetensors" in names


def test_the_wheel_has_all_licence_texts(built: Path) -> None:
    with zipfile.ZipFile(only(built, ".whl")) as file:
        notes = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = file.read(notes[0]).decode()
        held = [name for name in file.namelist() if ".dist-info/licenses/" in name]
    assert "License-Expression: Apache-2.0" in metadata
    assert sorted(name.partition("/licenses/")[2] for name in held) == ["LICENSE", "LICENSE-weights.md"]


def test_the_sdist_has_tests_and_no_images(built: Path) -> None:
    names = members(only(built, ".tar.gz"))
    assert "tests/conftest.py" in names
    assert "docs/your-own-lab.md" in names
    assert not [name for name in names if name.endswith((".png", ".jpg", ".tif", ".h5ad", ".skops"))]
    assert only(built, ".tar.gz").stat().st_size < 25e6


def test_the_wheel_alone_segments(built: Path, rendered: Path, tmp_path: Path) -> None:
    """Away from the source, with the weights that came with it, in one command."""
    run("pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "installed", only(built, ".whl"))
    code = "import sys, dorl; print(dorl.__file__); from dorl.cli import main; sys.argv[0] = 'dorl'; main()"
    words = ["segment", str(rendered / "dune" / "images"), "--out", "masks"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(tmp_path / "installed")
    assert len(list((tmp_path / "masks").glob("*.png"))) == 30


def tracked(folder: str) -> list[Path]:
    """Files below a folder that are part of the project."""
    skipped = {"__pycache__"}
    return [path for path in (ROOT / folder).rglob("*") if path.is_file() and not skipped & set(path.parts)]
