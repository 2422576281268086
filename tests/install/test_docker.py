"""The Dockerfile: linted, and its steps make sense where there is no Docker to run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STEPS = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]


def last(word: str) -> str:
    return next(rest for first, rest in reversed(STEPS) if first == word)


def environment() -> dict[str, str]:
    """What the image sets besides the path."""
    return {name: value for name, value in re.findall(r"(\w+)=(\S+)", last("ENV")) if name != "PATH"}


def test_it_is_linted(tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed: pip install '.[packaging]'")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd x\n", encoding="utf-8")
    assert subprocess.run([linter, tmp_path / "Dockerfile"], capture_output=True, check=False).returncode != 0


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.M)
    copied = [source for word, rest in STEPS if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, name) or source.startswith(f"{name}/") for name in kept)


@pytest.mark.slow
def test_the_package_builds_from_what_is_copied_alone(tmp_path: Path) -> None:
    pytest.importorskip("hatchling.build", reason="hatchling is not installed: pip install '.[packaging]'")
    for source in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-weights.md"):
        shutil.copy(ROOT / source, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("dorl-*.whl"))


def test_it_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    assert last("USER") == "1000:1000"
    assert last("ENTRYPOINT") == '["dorl"]'
    assert "/v1/health" in last("HEALTHCHECK")


@pytest.mark.slow
@pytest.mark.posix
def test_it_works_where_only_the_temporary_folder_can_be_written(rendered: Path, tmp_path: Path) -> None:
    """As `docker run --read-only --tmpfs /tmp` has it: caches go below /tmp, and nothing else is written."""
    place = tmp_path / "tmp"
    shutil.copytree(rendered / "harbour", place / "lab")
    values = {name: value.replace("/tmp", str(place)) for name, value in environment().items()}
    before = files_of(ROOT / "src")
    code = "import sys; from dorl.cli import main; sys.argv[1:] = ['segment', 'lab', '--out', 'masks']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(place), **values},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (place / "masks" / "cells.csv").is_file()
    assert files_of(ROOT / "src") == before


def files_of(folder: Path) -> set[tuple[Path, int]]:
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
