"""`dorl convert` over what the other commands write."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.commands.annotations import FORMATS, convert
from dorl.commands.count import count
from dorl.domains import read_domain
from dorl.domains.annotations import read_annotations
from dorl.errors import InputError


@pytest.fixture(scope="module")
def counted(smear: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A count without a run; don't change it."""
    out = tmp_path_factory.mktemp("converted") / "count"
    count([smear], out=out)
    return out


def test_the_cells_of_a_count_are_written_as_they_were_found(counted: Path, tmp_path: Path) -> None:
    (path,) = convert(counted, to="coco", out=tmp_path / "coco")
    _, images = read_annotations(path)
    fields = pd.read_csv(counted / "fields.csv")
    cells = pd.read_csv(counted / "cells.csv")
    assert [len(image.cells) for image in images] == fields["cells"].tolist()
    found = [cell for image in images for cell in image.cells]
    assert [cell.box for cell in found] == [
        tuple(row) for row in cells[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float).tolist()
    ]
    for image, name in zip(images, fields["mask"], strict=True):
        labels = np.asarray(Image.open(counted / name))
        for number, cell in enumerate(image.cells, start=1):
            assert cell.shape is not None
            np.testing.assert_array_equal(cell.shape.pixels((0, 0, *labels.shape[::-1])), labels == number)
    lab = read_domain(path)
    assert len(lab) == len(cells)
    assert lab.table["label"].isna().all()
    assert lab.table["mask"].notna().all()


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("coco", "croissant")])
def test_every_format_is_written_of_a_count(counted: Path, tmp_path: Path, kind: str) -> None:
    if kind == "imagej":
        pytest.importorskip("roifile", reason="roifile is not installed")
    paths = convert(counted, to=kind, out=tmp_path / "out")
    assert paths
    assert all(path.stat().st_size for path in paths if path.suffix != ".txt")


def test_a_count_whose_fields_lie_elsewhere_is_told_where(
    counted: Path, smear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "count"
    shutil.copytree(counted, moved)
    for name in ("cells", "fields"):
        table = pd.read_csv(moved / f"{name}.csv")
        table["path"] = [str(Path(path).relative_to(smear)) for path in table["path"]]
        table.to_csv(moved / f"{name}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--images says where images lie"):
        convert(moved, to="coco", out=tmp_path / "out")
    assert convert(moved, to="coco", out=tmp_path / "out", images=smear)


def test_no_mask_outside_the_folder_is_read(counted: Path, tmp_path: Path) -> None:
    moved = tmp_path / "count"
    shutil.copytree(counted, moved)
    table = pd.read_csv(moved / "fields.csv")
    shutil.move(moved / table["mask"].iat[0], tmp_path / "mask.png")
    table["mask"] = "../mask.png"
    table.to_csv(moved / "fields.csv", index=False)
    with pytest.raises(InputError, match=r"its mask \.\./mask.png is missing"):
        convert(moved, to="coco", out=tmp_path / "out")


def test_masks_of_segment_are_converted(rendered: Path, tmp_path: Path) -> None:
    from dorl.commands.segment import segment

    images = tmp_path / "images"
    images.mkdir()
    for file in sorted((rendered / "dune" / "images").iterdir())[:3]:
        shutil.copy(file, images)
    segment(images, out=tmp_path / "masks")
    (path,) = convert(tmp_path / "masks", to="coco", out=tmp_path / "out", images=images)
    lab = read_domain(path)
    assert len(lab) == 3
    for i in range(3):
        mask = lab.load_mask(i)
        assert mask is not None
        np.testing.assert_array_equal(
            mask, np.asarray(Image.open(tmp_path / "masks" / Path(lab.table["path"].iat[i]).name)) > 0
        )


def test_a_lab_goes_out_as_croissant_and_comes_back(rendered: Path, tmp_path: Path) -> None:
    lab = read_domain(rendered / "dune" / "manifest.csv")
    path, manifest = convert(rendered / "dune" / "manifest.csv", to="croissant", out=tmp_path / "out")
    back = read_domain(manifest)
    assert back.table["label"].tolist() == lab.table["label"].tolist()
    for i in range(3):
        np.testing.assert_array_equal(back.load(i), lab.load(i))
        assert (back.load_mask(i) is None) == (lab.load_mask(i) is None)
        if lab.load_mask(i) is not None:
            np.testing.assert_array_equal(back.load_mask(i), lab.load_mask(i))
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    data = mlcroissant.Dataset(jsonld=path)
    assert not data.metadata.issues.errors
    records = [record["cells/label"].decode() for record in data.records("cells")]
    assert records == lab.table["label"].tolist()


def test_annotations_go_from_one_tool_to_another(counted: Path, tmp_path: Path) -> None:
    (coco,) = convert(counted, to="coco", out=tmp_path / "coco")
    paths = convert(coco, to="qupath", out=tmp_path / "qupath")
    found = [len(json.loads(path.read_text())["features"]) for path in paths]
    cells = pd.read_csv(counted / "fields.csv")["cells"]
    assert sorted(found) == sorted(cells[cells > 0])
    with pytest.raises(InputError, match="has several cells"):
        convert(coco, to="croissant", out=tmp_path / "croissant")


def test_what_can_not_be_converted_is_told(counted: Path, rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give one of coco"):
        convert(counted, to="docx", out=tmp_path / "a")
    with pytest.raises(InputError, match="is not empty"):
        convert(counted, to="coco", out=counted)
    with pytest.raises(InputError, match="leave --images out"):
        convert(rendered / "dune" / "manifest.csv", to="coco", out=tmp_path / "a", images=tmp_path)
    with pytest.raises(InputError, match="for --to ome-tiff alone"):
        convert(counted, to="coco", out=tmp_path / "a", pixel_size=0.1)
    assert not (tmp_path / "a").exists()


def test_the_command_names_the_format(
    counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dorl.cli import main

    monkeypatch.setattr(sys, "argv", ["dorl", "convert", str(counted), "--to", "voc", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "cells in 4 images" in capsys.readouterr().err
