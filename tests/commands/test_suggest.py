from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dorl.commands.suggest import suggest
from dorl.domains import read_domain
from dorl.errors import InputError
from dorl.names import FORMULA
from dorl.sheets import write_sheet


@pytest.fixture
def images(rendered: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "new" / "images"
    folder.mkdir(parents=True)
    for path in sorted((rendered / "dune" / "images").iterdir())[:12]:
        shutil.copy(path, folder)
    return folder


def test_what_is_suggested_is_a_manifest_once_it_is_labelled(fitted: Path, images: Path) -> None:
    out = images.parent / "to-label.csv"
    table = suggest(fitted, images, out=out, n=5)
    written = pd.read_csv(out, keep_default_na=False)
    assert list(written) == ["image", "label", "predicted", "probability"]
    assert written["image"].tolist() == table["image"].tolist()
    assert written["probability"].between(0, 1).all()
    assert read_domain(out).labels.tolist() == [None] * 5
    written.assign(label="monocyte").to_csv(out, index=False)
    lab = read_domain(out)
    assert lab.labels.tolist() == ["monocyte"] * 5
    assert lab.load(0).shape == (128, 128, 3)


def test_pictures_without_a_cell_are_not_suggested(
    fitted: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("empty", "white"):
        Image.new("RGB", (90, 90), (250, 250, 250)).save(images / f"{name}.png")
    table = suggest(fitted, images, out=images.parent / "to-label.csv", n=20)
    assert len(table) == 12
    assert not table["image"].str.contains("empty|white").any()
    assert "no cell could be made out: 2 images" in capsys.readouterr().err
    for path in images.iterdir():
        if path.stem not in ("empty", "white"):
            path.unlink()
    with pytest.raises(InputError, match="no cell was found in 2 images"):
        suggest(fitted, images, out=images.parent / "none.csv")


def test_labels_that_were_filled_in_are_never_written_over(fitted: Path, images: Path) -> None:
    out = images / "to-label.csv"
    out.write_text("image,label\n")
    with pytest.raises(InputError, match="perhaps with labels"):
        suggest(fitted, images, out=out)
    assert out.read_text() == "image,label\n"


def test_a_place_from_which_the_images_can_not_be_named_is_refused(fitted: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in the images' folder or above it"):
        suggest(fitted, images, out=tmp_path / "elsewhere" / "to-label.csv")
    with pytest.raises(InputError, match=r"ends in \.csv"):
        suggest(fitted, images, out=images)
    with pytest.raises(InputError, match="n is 0"):
        suggest(fitted, images, out=images / "x.csv", n=0)
    assert not (tmp_path / "elsewhere").exists()


def test_cells_that_are_no_files_are_refused(fitted: Path, images: Path, tmp_path: Path) -> None:
    from dorl.commands.annotations import convert

    (path,) = convert(images, to="coco", out=tmp_path / "coco")
    with pytest.raises(InputError, match="no files of their own"):
        suggest(fitted, path, out=tmp_path / "coco" / "suggested.csv")


#: names as lists, spreadsheets and other systems make trouble of
HARD = (
    "x:1.png",
    " leading.png",
    "=1+1.png",
    "-1.png",
    "'=2.png",
    'quo"te.png',
    "a,b;c.png",
    "back\\slash.png",
    "line\nbreak.png",
    "tab\tand\rreturn.png",
    "ba\u0308r.png",
    "b\xe4r.png",
    "日本.png",
    "\u202egnp.png",
    "NA.png",
    "#1.png",
    "\\x41.png",
    "é" * 125 + ".png",
)


@pytest.mark.posix
def test_what_is_suggested_is_read_again_whatever_the_names(
    fitted: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cells = sorted((rendered / "dune" / "images").iterdir())
    names = [*HARD, os.fsdecode(b"caf\xe9.png"), "caf\\xe9.png"]
    for name, path in zip(names, cells, strict=False):
        shutil.copy(path, folder / name)
    for out in (folder / "below.csv", tmp_path / "above.csv"):
        suggest(fitted, folder, out=out, n=len(names))
        written = pd.read_csv(out, keep_default_na=False, dtype=str)
        assert not written["image"].str[0].isin(list(FORMULA)).any()
        write_sheet(out, written.assign(label="monocyte"))  # filled in by a person
        lab = read_domain(out)
        assert len(lab) == len(names)
        assert lab.left_out.empty
        assert {lab.file(i).name for i in range(len(lab))} == set(names)
        for i in range(len(lab)):
            assert lab.file(i).read_bytes() == cells[names.index(lab.file(i).name)].read_bytes()
    said = capsys.readouterr().err
    assert not set(said) & set("\x1b\u202e\r\t")
