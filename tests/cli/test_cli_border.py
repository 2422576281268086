"""What comes in and goes out of the command line: several paths, commas, names of any bytes, links, encodings."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dorl.cli import main
from dorl.cli.options import listed
from dorl.runtime.progress import print_anything


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run a command; gives its exit status and its standard error."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["dorl", *map(str, words)])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def images(rendered: Path) -> list[Path]:
    return sorted((rendered / "dune" / "images").iterdir())


def test_predict_and_segment_take_several_paths(
    ended: Callable[..., tuple[int, str]], fitted: Path, images: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    shutil.copy(images[1], tmp_path / "b" / images[0].name)
    (tmp_path / "bad.png").write_bytes(b"no image")
    given = (images[0], tmp_path / "b", tmp_path / "bad.png")
    status, said = ended("predict", fitted, *given, "--out", tmp_path / "p.csv")
    assert status == 0
    assert f"left out: {tmp_path}/bad.png: not a readable" in said
    assert "2 images classified" in said
    paths = [images[0].as_posix(), f"{tmp_path}/b/{images[0].name}"]
    assert pd.read_csv(tmp_path / "p.csv")["path"].tolist() == paths
    status, said = ended("segment", *given, "--out", tmp_path / "m")
    assert status == 0
    assert "2 masks written" in said
    assert "1 image left out" in said
    assert pd.read_csv(tmp_path / "m" / "cells.csv")["path"].tolist() == paths
    assert len(list((tmp_path / "m").glob("*.png"))) == 2


@pytest.mark.posix
def test_names_that_are_not_utf8_are_read_and_written(
    ended: Callable[..., tuple[int, str]], fitted: Path, images: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9p")
    folder.mkdir()
    shutil.copy(images[0], folder / os.fsdecode(b"caf\xe9.png"))
    shutil.copy(images[1], folder / "=1+1.png")
    assert ended("predict", fitted, folder, "--out", tmp_path / "p.csv")[0] == 0
    assert pd.read_csv(tmp_path / "p.csv")["path"].tolist() == ["'=1+1.png", "caf\\xe9.png"]
    assert ended("segment", folder, "--out", tmp_path / "m", "--overlay")[0] == 0
    masks = pd.read_csv(tmp_path / "m" / "cells.csv")["mask"].tolist()
    assert masks == ["'=1+1.png", "caf\\xe9.png"]
    assert Image.open(tmp_path / "m" / masks[1]).size == Image.open(images[0]).size
    assert ended("count", folder, "--out", tmp_path / "c")[0] == 0
    shown = pd.read_csv(tmp_path / "c" / "fields.csv")["path"].tolist()
    assert [path.removeprefix(f"{tmp_path}/") for path in shown] == ["d\\xe9p/=1+1.png", "d\\xe9p/caf\\xe9.png"]
    assert ended("inspect", f"lab={folder}", "--out", tmp_path / "i")[0] == 0
    assert ended("embed", f"lab={folder}", "--out", tmp_path / "e")[0] == 0


def test_names_as_long_as_a_name_can_be(
    ended: Callable[..., tuple[int, str]], images: list[Path], tmp_path: Path
) -> None:
    deep = tmp_path / "deep"
    for sign in "ab":
        place = deep.joinpath(*(sign * 60 for _ in range(4)))
        place.mkdir(parents=True)
        shutil.copy(images[0], place / "x.png")
    shutil.copy(images[1], deep / ("é" * 125 + "b.png"))
    for command in ("count", "segment"):
        assert ended(command, deep, "--out", tmp_path / command)[0] == 0
    names = sorted(path.name for path in (tmp_path / "segment").glob("*.png"))
    assert len(names) == 3
    assert [name[:60] for name in names[:2]] == ["a" * 60, "b" * 60]
    assert names[2] == "é" * 125 + "b.png"
    assert all(len(name.encode()) <= 255 for name in names)
    for folder in ("masks", "annotated"):
        assert len(list((tmp_path / "count" / folder).iterdir())) == 3


@pytest.mark.posix
def test_out_is_written_through_a_link(
    ended: Callable[..., tuple[int, str]], fitted: Path, images: list[Path], tmp_path: Path
) -> None:
    real, link, pipe = (tmp_path / name for name in ("real.csv", "link.csv", "pipe.csv"))
    real.write_text("old")
    link.symlink_to(real)
    assert ended("predict", fitted, images[0], "--out", link)[0] == 0
    assert link.is_symlink()
    assert real.read_text().startswith("path,class,probability,")
    os.mkfifo(pipe)
    status, said = ended("predict", fitted, images[0], "--out", pipe)
    assert (status, said) == (2, f"dorl: {pipe}: nobody reads this pipe; start its reader first, or give a file\n")
    assert pipe.is_fifo()


def test_the_home_folder_stands_behind_an_equals_sign(
    ended: Callable[..., tuple[int, str]], images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert ended("inspect", f"lab={images[0].parent}", "--out=~/seen")[0] == 0
    assert (tmp_path / "seen" / "labs.json").is_file()
    assert not (tmp_path / "~").exists()


def test_several_labs_stand_between_commas(
    ended: Callable[..., tuple[int, str]], labs: list[str], tmp_path: Path
) -> None:
    assert listed(["a,b", " c "]) == listed("a, b,c,") == ["a", "b", "c"]
    assert listed(None) == []
    for command in ("fit", "benchmark"):
        status, said = ended(command, *labs, "--source", "harbour,nowhere", "--out", tmp_path / command)
        assert status == 2
        assert "source 'nowhere' is no lab here" in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp932", "cp949", "utf-8"])
def test_anything_is_printed_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    print_anything()
    print("224–300 µm, 日本 bär caf\udce9 → \U0001fa78")
    printed = raw.getvalue().decode(encoding)
    assert "caf\\xe9" in printed
    assert printed.startswith("224–300 µm, 日本" if encoding == "utf-8" else "224-300 ")
