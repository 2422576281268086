"""Images of several paths as one lab."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dorl.domains.gathering import gather
from dorl.errors import InputError


@pytest.fixture
def two(rendered: Path, tmp_path: Path) -> list[Path]:
    """Two folders of two images of the same names."""
    cells = sorted((rendered / "dune" / "images").iterdir())
    for number, path in enumerate(cells[:4]):
        place = tmp_path / "lab" / f"day{number // 2}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"{number % 2}.png")
    return [tmp_path / "lab" / "day0", tmp_path / "lab" / "day1"]


def test_several_paths_are_one_lab_each_image_once(two: list[Path]) -> None:
    lab = gather([two[0], two[1], two[0] / "1.png", str(two[1] / ".." / "day0" / "0.png")])
    assert lab.table["path"].tolist() == [(folder / name).as_posix() for folder in two for name in ("0.png", "1.png")]
    assert lab.load(3).shape == (128, 128, 3)
    assert gather(two[0]).table["path"].tolist() == gather([two[0]]).table["path"].tolist() == ["0.png", "1.png"]
    assert gather([two[0]], full=True).table["path"].tolist() == [f"{two[0].as_posix()}/{n}.png" for n in (0, 1)]


@pytest.mark.posix
def test_one_bad_file_of_several_is_left_out_by_name(two: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not an image")
    os.mkfifo(tmp_path / "pipe.png")
    lab = gather([bad, tmp_path / "pipe.png", two[0]])
    assert len(lab) == 2
    assert lab.left_out["path"].tolist() == [str(bad), str(tmp_path / "pipe.png")]
    assert lab.left_out["reason"].tolist() == [
        "not a readable jpg, png, bmp, tiff, webp or gif image",
        "is no regular file",
    ]
    with pytest.raises(InputError, match="none of 2 files can be used, the first since: "):
        gather([bad, tmp_path / "pipe.png"])
    with pytest.raises(InputError, match="not a readable"):
        gather([bad])
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        gather([two[0], tmp_path / "none.png"])
    with pytest.raises(InputError, match="no path given"):
        gather([])


def test_home_and_names_stand_before_a_path(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(two[0].parent))
    assert len(gather("lab=~/day0")) == len(gather("~/day0")) == 2
    assert len(gather(["a=~/day0", "b=~/day1"])) == 4


def test_a_folder_whose_name_is_no_utf8(two: list[Path]) -> None:
    odd = two[0].rename(two[0].with_name(os.fsdecode(b"d\xe9p")))
    lab = gather([odd], full=True)
    assert lab.table["path"].tolist() == [f"{two[1].parent.as_posix()}/d\\xe9p/{n}.png" for n in (0, 1)]
    assert lab.load(1).shape == (128, 128, 3)
