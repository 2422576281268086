"""Commands on images at a URL: what they write is what they write of the same folder on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from dorl.commands.count import count
from dorl.commands.embed import embed
from dorl.commands.predict import predict
from dorl.domains.urls import mirror_of
from web_server import serving


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def lab(rendered: Path, tmp_path: Path) -> Path:
    """Twelve images, more than one batch of `embed`, of which one is damaged."""
    folder = tmp_path / "lab"
    for number, path in enumerate(sorted((rendered / "dune" / "images").iterdir())[:12]):
        (folder / f"day {number % 2}").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"day {number % 2}")
    damaged = folder / "day 1" / "003.png"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    return folder


@pytest.fixture
def memory() -> Iterator[Any]:
    found = fsspec.filesystem("memory")
    yield found
    found.store.clear()


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "writing.lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_predictions_of_a_url_and_of_its_shards_are_those_of_the_folder(
    fitted: Path, rendered: Path, lab: Path, memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (rendered / "dune" / "images").iterdir():  # more than one batch of `predict`
        shutil.copy(path, lab)
    memory.put(str(lab), "/bucket/lab", recursive=True)
    here, there, joined = (tmp_path / f"{name}.csv" for name in ("here", "there", "joined"))
    first = predict(fitted, lab, out=here)
    again = predict(fitted, "memory://bucket/lab", out=there)
    assert there.read_bytes() == here.read_bytes()
    assert again.left_out == first.left_out != []
    for part in ("2/2", "1/2"):
        monkeypatch.setenv("DORL_CACHE", str(tmp_path / f"cache-{part[0]}"))  # of a machine that shares no cache
        predict(fitted, "memory://bucket/lab", out=joined, shard=part)
    predict(fitted, "memory://bucket/lab", out=joined, join=2)
    assert joined.read_bytes() == here.read_bytes()


def test_cells_of_a_url_and_of_its_shards_are_those_of_the_folder(lab: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the Python package aiohttp (dorl[remote]) is not installed")
    embed([f"ours={lab}"], out=tmp_path / "here")
    with serving(lab.parent) as (address, asked):
        url = f"ours={address.replace('//', '//me:secret@')}/lab"
        embed([url], out=tmp_path / "there")
        assert sum(path.endswith(".png") for path in asked) == 12
        for part in ("2/2", "1/2"):
            embed([url], out=tmp_path / "joined", shard=part)
        embed([url], out=tmp_path / "joined", join=2)
        assert sum(path.endswith(".png") for path in asked) == 12
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert contents(tmp_path / "joined") == contents(tmp_path / "here")


def test_a_count_of_a_url_names_its_fields_by_their_urls(smear: Path, memory: Any, tmp_path: Path) -> None:
    memory.put(str(smear), "/bucket/smear", recursive=True)
    count([smear], out=tmp_path / "here")
    count(["memory://bucket/smear"], out=tmp_path / "there")
    count(["memory://bucket/smear"], out=tmp_path / "joined", shard="1/1")
    count(["memory://bucket/smear"], out=tmp_path / "joined", join=1)
    for name in ("cells", "counts", "samples", "review"):
        there = (tmp_path / "there" / f"{name}.csv").read_text()
        here = (tmp_path / "here" / f"{name}.csv").read_text()
        assert there.replace("memory://bucket/smear", smear.as_posix()) == here
        assert (tmp_path / "joined" / f"{name}.csv").read_text() == there
    samples = pd.read_csv(tmp_path / "there" / "samples.csv")["sample"]
    assert set(samples) == {"memory://bucket/smear", "memory://bucket/smear/again"}
    pictures = [path for path in contents(tmp_path / "there") if path.startswith("annotated/")]
    assert len(pictures) == len(pd.read_csv(tmp_path / "there" / "fields.csv")) == 4


@pytest.mark.slow
def test_a_slide_at_a_url_is_counted(slides: Path, memory: Any, tmp_path: Path) -> None:
    memory.put(str(slides / "slide.svs"), "/bucket/slides/slide.svs")
    count(["memory://bucket/slides"], out=tmp_path / "there")
    count([mirror_of("memory://bucket/slides")], out=tmp_path / "here")
    tables = [pd.read_csv(tmp_path / name / "cells.csv") for name in ("there", "here")]
    assert set(tables[0]["path"]) == {"memory://bucket/slides/slide.svs"}
    assert len(tables[0]) > 0
    assert tables[0].equals(tables[1])


def test_the_command_line_says_what_is_wrong_with_a_url_and_no_secret(tmp_path: Path) -> None:
    words = ["embed", "ours=nothing://me:secret@host/lab?X-Amz-Signature=secret", "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", "dorl", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dorl: nothing://host/lab: ")
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
