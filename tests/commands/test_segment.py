from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from dorl.commands import segment as segmenting
from dorl.commands.segment import segment
from dorl.domains import read_domain
from dorl.errors import InputError
from dorl.run.maskfolder import CELLS, SOURCE
from dorl.runtime.kept import KEPT, Kept
from dorl.runtime.results import NOTE
from dorl.segmentation.measures import COLUMNS


@pytest.fixture
def few(rendered: Path, tmp_path: Path) -> Path:
    """A folder of ten cells and an image without any."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted((rendered / "dune" / "images").iterdir())[:10]:
        shutil.copy(path, folder)
    Image.new("RGB", (90, 70), (235, 225, 230)).save(folder / "zz-empty.png")
    return folder


def test_masks_are_native_in_size_whole_and_right(rendered: Path, tmp_path: Path) -> None:
    done = segment(rendered / "dune" / "images", out=tmp_path / "masks")
    assert (done.written, done.kept, done.left_out) == (30, 0, 0)
    lab = read_domain(rendered / "dune" / "manifest.csv")
    dices = []
    for i, path in enumerate(lab.table["path"]):
        values = np.asarray(Image.open(tmp_path / "masks" / f"{Path(path).stem}.png"))
        assert values.shape == (128, 128)
        assert set(np.unique(values)) <= {0, 255}
        found, truth = values > 0, lab.load_mask(i)
        assert ndimage.label(found, np.ones((3, 3)))[1] <= 1
        dices.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert np.mean(dices) > 0.9


def test_no_cell_is_said_counted_and_noted(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = segment(few, out=tmp_path / "masks")
    assert (done.written, done.without_cell) == (11, 1)
    said = capsys.readouterr().err
    assert "no cell found: zz-empty.png" in said
    assert "11 masks written, 1 of them without a cell" in said
    assert not np.asarray(Image.open(tmp_path / "masks" / "zz-empty.png")).any()
    cells = pd.read_csv(tmp_path / "masks" / "cells.csv")
    assert tuple(cells) == CELLS
    assert cells["path"].is_monotonic_increasing
    assert cells["found"].tolist() == [True] * 10 + [False]
    assert cells["confidence"].iloc[:10].between(0.5, 1).all()
    assert cells["confidence"].iloc[10] == 0
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"cells.csv", SOURCE, KEPT, NOTE, *cells["mask"]}


def test_outlines_and_measures(few: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "measures.csv"
    segment(few, out=tmp_path / "masks", overlay=True, measures=table, pixel_size=0.1)
    assert len(list((tmp_path / "masks" / "overlay").glob("*.png"))) == 11
    found = pd.read_csv(table)
    assert list(found)[: len(CELLS) + len(COLUMNS)] == [*CELLS, *COLUMNS]
    for row in found.iloc[:10].itertuples():
        mask = np.asarray(Image.open(tmp_path / "masks" / row.mask)) > 0
        assert row.area_px == mask.sum()
        assert row.area_um == pytest.approx(mask.sum() / 100, rel=1e-4)
        assert 0 < row.nucleus_share <= 1
    assert found.iloc[10].drop(list(CELLS)).isna().all()


def test_a_second_start_keeps_what_is_there(few: Path, tmp_path: Path) -> None:
    image = sorted(few.iterdir())[0]
    segment(image, out=tmp_path / "masks")
    target = tmp_path / "masks" / f"{image.stem}.png"
    before = target.stat().st_mtime_ns
    done = segment(image, out=tmp_path / "masks")
    assert (done.written, done.kept) == (0, 1)
    assert target.stat().st_mtime_ns == before
    assert pd.read_csv(tmp_path / "masks" / "cells.csv")["confidence"].iat[0] > 0.5


def test_masks_of_other_weights_are_not_taken_for_these(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    segment(few, out=out)
    before = (out / "cells.csv").read_bytes()
    told = json.loads((out / SOURCE).read_text())
    (out / SOURCE).write_text(json.dumps({**told, "segmenter": "other weights"}))
    with pytest.raises(InputError, match="holds masks made by another segmenter"):
        segment(few, out=out)
    (out / SOURCE).write_text(json.dumps({"images": "/somewhere", "segmenter": told["segmenter"]}))
    with pytest.raises(InputError, match="holds masks of an earlier dorl; choose another --out"):
        segment(few, out=out)
    assert (out / "cells.csv").read_bytes() == before
    (out / SOURCE).write_text("{")
    with pytest.raises(InputError, match="damaged; remove it"):
        segment(few, out=out)


def shades(path: Path, size: tuple[int, int], colour: tuple[int, int, int] = (235, 225, 230)) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_an_image_of_yesterdays_name_gets_its_own_mask(few: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "in", tmp_path / "masks"
    cells = sorted(few.iterdir())
    (images / "patient1").mkdir(parents=True)
    shutil.copy(cells[0], images / "patient1" / "x.png")
    segment(images, out=out, overlay=True, measures=tmp_path / "first.csv")
    shutil.rmtree(images / "patient1")
    shades(images / "patient2" / "x.png", (150, 130))
    done = segment(images, out=out, overlay=True, measures=tmp_path / "second.csv")
    assert (done.written, done.kept) == (1, 0)
    assert Image.open(out / "x.png").size == (150, 130)
    assert not np.asarray(Image.open(out / "x.png")).any()
    assert Image.open(out / "overlay" / "x.png").size == (150, 130)
    assert pd.read_csv(out / "cells.csv")["path"].tolist() == ["patient2/x.png"]
    assert pd.read_csv(tmp_path / "second.csv")["area_px"].isna().all()
    # of the very same name, size and beginning
    (images / "patient2" / "x.png").unlink()
    shutil.copy(cells[1], images / "patient2" / "x.png")
    segment(images, out=out)
    assert np.asarray(Image.open(out / "x.png")).any()


def test_what_is_asked_for_lies_there_and_nothing_else(few: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "masks", tmp_path / "other"
    shutil.copytree(few, other)
    first = segment(few, out=out, overlay=True)
    assert first.written == 11
    cells = sorted(other.iterdir())
    for path in cells[3:]:
        path.unlink()
    done = segment(other, out=out, overlay=True)
    assert (done.written, done.kept) == (0, 3)  # by their content, wherever they lie
    for folder in (out, out / "overlay"):
        assert sorted(path.name for path in folder.glob("*.png")) == [path.name for path in cells[:3]]
    again = segment([few, other], out=out)
    assert (again.written, again.kept) == (0, 14)
    assert len(list(out.glob("*.png"))) == 14
    assert list((out / "overlay").glob("*.png")) == []


def test_a_mask_that_was_changed_by_hand_is_used_and_never_lost(few: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "in", tmp_path / "masks"
    images.mkdir()
    cell = sorted(few.iterdir())[0]
    shutil.copy(cell, images / "x.png")
    segment(images, out=out)
    mine = np.zeros((128, 128), np.uint8)
    mine[10:20, 10:20] = 255
    Image.fromarray(mine).save(out / "x.png")
    assert segment(images, out=out, measures=tmp_path / "m.csv").kept == 1
    assert pd.read_csv(tmp_path / "m.csv")["area_px"].tolist() == [100]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "x.png")), mine)
    shades(images / "x.png", (128, 128))
    segment(images, out=out)
    assert not np.asarray(Image.open(out / "x.png")).any()
    np.testing.assert_array_equal(np.asarray(Image.open(out / "earlier" / "x.png")), mine)


def test_an_interrupted_run_ends_as_one_that_was_not(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"overlay": True, "measures": tmp_path / "whole.csv"}
    segment(few, out=tmp_path / "whole", **whole)
    draw, calls = segmenting.draw_overlay, []

    def stopping(*arguments: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(segmenting, "draw_overlay", stopping)
    parts = {"overlay": True, "measures": tmp_path / "parts.csv"}
    with pytest.raises(KeyboardInterrupt):
        segment(few, out=tmp_path / "parts", **parts)
    assert len(list((tmp_path / "parts").glob("*.png"))) == 3
    assert not (tmp_path / "parts.csv").exists()
    with (tmp_path / "parts" / NOTE).open("a") as file:
        file.write('{"name": "torn')
    done = segment(few, out=tmp_path / "parts", **parts)
    assert (done.written, done.kept) == (8, 3)
    # the batches were others, and so are the last digits
    left, right = pd.read_csv(tmp_path / "whole.csv"), pd.read_csv(tmp_path / "parts.csv")
    pd.testing.assert_frame_equal(left, right, rtol=0.02, check_dtype=False)


def test_masks_that_are_there_are_measured_too(few: Path, tmp_path: Path) -> None:
    segment(few, out=tmp_path / "masks")
    changed = tmp_path / "masks" / "zz-empty.png"
    mask = np.zeros((70, 90), np.uint8)
    mask[20:50, 30:70] = 255
    Image.fromarray(mask).save(changed)
    done = segment(few, out=tmp_path / "masks", overlay=True, measures=tmp_path / "m.csv")
    assert (done.written, done.kept) == (0, 11)
    found = pd.read_csv(tmp_path / "m.csv")
    assert len(found) == 11
    assert found["area_px"].iat[10] == 30 * 40
    assert found["confidence"].iloc[:10].gt(0.5).all()
    assert (tmp_path / "masks" / "overlay" / "zz-empty.png").exists()
    Image.new("L", (9, 9), 255).save(changed)
    segment(few, out=tmp_path / "masks", measures=tmp_path / "m.csv")  # that can't be its mask
    assert Image.open(tmp_path / "masks" / "earlier" / "zz-empty.png").size == (9, 9)
    assert Image.open(changed).size == (90, 70)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixel_size": 0.1}, "give --measures FILE.csv, too"),
        ({"pixel_size": 0, "measures": "m.csv"}, "pixel size is 0"),
        ({"pixel_size": float("nan"), "measures": "m.csv"}, "pixel size is nan"),
        ({"measures": "m.xlsx"}, r"ends in \.csv"),
        ({"measures": ""}, "is a folder; give a file"),
        ({"measures": "masks/cells.csv"}, "is the list of cells"),
        ({"measures": "few/zz-empty.png/m.csv"}, "is a file"),
    ],
)
def test_wrong_options_are_refused_before_any_work(
    few: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    if "measures" in options:
        options = options | {"measures": tmp_path / str(options["measures"])}
    with pytest.raises(InputError, match=message):
        segment(few, out=tmp_path / "masks", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "masks").exists()


def test_what_is_kept_has_a_limit_and_what_is_asked_for_stays(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.run.maskfolder.Kept", partial(Kept, limit=0))
    images, out = sorted(few.iterdir()), tmp_path / "masks"
    segment(images[:3], out=out)
    assert len(list((out / KEPT).iterdir())) == 3
    segment(images[2:4], out=out)
    assert len(list((out / KEPT).iterdir())) == 2
    assert (segment(images[2:4], out=out).written, segment(images[:1], out=out).written) == (0, 1)
