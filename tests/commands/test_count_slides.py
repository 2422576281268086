"""`dorl count` on slides: a rendered pyramid whose cells are known."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.commands.count import CELLS, CountResult, count
from dorl.domains.slides.by_tifffile import TiffSlide
from dorl.errors import BadImageError, InputError
from dorl.run import slides as searching
from dorl.run.slidepictures import COLUMNS
from dorl.segmentation.overlap import box_iou

pytest.importorskip("zarr", reason="the extra zarr is not installed")


@pytest.fixture(scope="module")
def counted(slides: Path, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CountResult]:
    """A finished count with a run; don't change it."""
    out = tmp_path_factory.mktemp("counted") / "out"
    return out, count([slides / "slide.ome.tif"], out=out, run=fitted)


@pytest.fixture
def again(counted: tuple[Path, CountResult], tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(counted[0], tmp_path / "again"))


def boxes_of(cells: pd.DataFrame) -> np.ndarray:
    return cells[["xmin", "ymin", "xmax", "ymax"]].to_numpy(int)


def hits(truth: np.ndarray, boxes: np.ndarray) -> list[int]:
    """How many boxes lie on each true cell."""
    return [sum(box_iou(box, other) >= 0.5 for other in boxes) for box in truth]


def test_every_white_cell_of_a_slide_is_counted_once(counted: tuple[Path, CountResult], slides: Path) -> None:
    out, result = counted
    cells = pd.read_csv(out / "cells.csv")
    truth = np.load(slides / "cells.npy")
    assert tuple(cells) == (*CELLS, "monolayer")
    assert hits(truth, boxes_of(cells)) == [1] * len(truth)
    assert len(cells) <= len(truth) + 1
    assert set(cells["sample"]) == {(slides / "slide.ome.tif").as_posix()}
    assert cells["class"].notna().all()
    assert cells["probability"].between(0, 1).all()
    assert cells["counted"].all()
    assert (cells["monolayer"] > 0.5).mean() > 0.6
    assert result.counts["cells"].iat[-1] == len(cells)
    (field,) = pd.read_csv(out / "fields.csv").itertuples()
    assert (field.width, field.height, field.cells) == (4000, 3000, len(cells))
    assert field.red_cell == pytest.approx(0.9 * 7.2 / 0.25)


def test_the_best_fields_are_suggested_and_drawn(counted: tuple[Path, CountResult]) -> None:
    out, result = counted
    suggested = pd.read_csv(out / "suggested.csv")
    assert tuple(suggested) == COLUMNS
    assert suggested["rank"].tolist() == list(range(1, len(suggested) + 1))
    assert suggested["cells"].iat[0] >= 2
    assert (suggested["monolayer"] >= 0.5).all()
    boxes = boxes_of(result.cells)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for row in suggested.itertuples():
        inside = ((middles >= (row.xmin, row.ymin)) & (middles < (row.xmax, row.ymax))).all(axis=1)
        assert inside.sum() == row.cells
        picture = np.asarray(Image.open(out / row.picture))
        assert picture.shape == (row.ymax - row.ymin, row.xmax - row.xmin, 3)
        assert (picture == (0, 255, 60)).all(axis=2).any()
    shown = Image.open(out / "maps" / "slide.ome.png")
    assert min(shown.size) > 800
    assert not (out / "masks").exists()


def test_a_count_that_was_stopped_goes_on(
    counted: tuple[Path, CountResult], slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.segmentation.slidecells.TILE", 1500)
    search, asked = searching.search_tile, []

    def stopped(*arguments: object) -> object:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(arguments[2])
        return search(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "search_tile", stopped)
    with pytest.raises(KeyboardInterrupt):
        count([slides / "slide.ome.tif"], out=tmp_path / "out")
    assert len(asked) == 2

    def going_on(*arguments: object) -> object:
        asked.append(arguments[2])
        return search(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "search_tile", going_on)
    monkeypatch.setattr(searching, "look", lambda *_: pytest.fail("looked through again"))
    result = count([slides / "slide.ome.tif"], out=tmp_path / "out")
    assert len(asked) == len(set(asked)) > 2
    truth = np.load(slides / "cells.npy")
    assert hits(truth, boxes_of(result.cells)) == [1] * len(truth)
    # other tiles, the same cells
    assert len(result.cells) == len(counted[1].cells)


def test_a_damaged_tile_is_said_and_the_others_are_searched(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = TiffSlide.read

    def damaged(slide: TiffSlide, level: int, left: int, top: int, width: int, height: int) -> np.ndarray:
        if level == 0 and left > 2000:
            raise BadImageError(f"{slide.path}: damaged or truncated")
        return read(slide, level, left, top, width, height)

    monkeypatch.setattr(TiffSlide, "read", damaged)
    result = count([slides / "slide.ome.tif"], out=tmp_path / "out")
    told = capsys.readouterr().err
    assert "tiles are damaged and were not searched" in told
    assert "isn't drawn: damaged or truncated" in told
    assert (result.suggested["picture"] == "").any()
    assert 0 < len(result.cells) < len(np.load(slides / "cells.npy"))


def test_cells_outside_the_monolayer_are_left_out_on_request(
    again: Path, slides: Path, fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.commands.count.MONOLAYER", 2.0)
    result = count([slides / "slide.ome.tif"], out=again, run=fitted, monolayer=True)
    assert len(result.cells)
    assert not result.cells["counted"].any()
    assert result.counts["cells"].iat[-1] == 0


def test_slides_and_fields_are_counted_together_each_as_its_own_sample(
    again: Path, counted: tuple[Path, CountResult], slides: Path, smear: Path, fitted: Path, tmp_path: Path
) -> None:
    (tmp_path / "given").mkdir()
    shutil.copy(slides / "slide.ome.tif", tmp_path / "given" / "a.ome.tif")
    shutil.copy(smear / "one.png", tmp_path / "given" / "field.png")
    result = count([tmp_path / "given", slides / "slide.ome.tif"], out=again, run=fitted)
    assert result.fields["path"].map(lambda path: Path(path).name).tolist() == ["field.png", "a.ome.tif"]
    ((path, why),) = result.left_out
    assert Path(path) == slides / "slide.ome.tif"
    assert "is the same slide as" in why
    assert result.samples["sample"].nunique() == 2
    of_field = result.cells["path"] == (tmp_path / "given" / "field.png").as_posix()
    assert result.cells["monolayer"].isna().equals(of_field)
    assert (~of_field).sum() == len(counted[1].cells)
    assert (again / "masks" / "field.png").is_file()
    assert (again / "maps" / "a.ome.png").is_file()
    # without the slide its pictures go
    count([tmp_path / "given" / "field.png"], out=again, run=fitted)
    assert not list((again / "maps").glob("*"))
    assert not (again / "suggested.csv").exists()


def test_a_slide_that_cannot_be_counted_is_one_line(slides: Path, tmp_path: Path) -> None:
    whole = (slides / "slide.ome.tif").read_bytes()
    (tmp_path / "cut.ome.tif").write_bytes(whole)
    (tmp_path / "cut.svs").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"not one field could be counted, the first since: .*cut\.svs"):
        count([tmp_path / "cut.svs"], out=tmp_path / "out")
    with pytest.raises(InputError, match="lies among the fields"):
        count([tmp_path], out=tmp_path / "out")
    with pytest.raises(InputError, match="holds one of the slides"):
        count([tmp_path / "cut.ome.tif"], out=tmp_path)
    with pytest.raises(InputError, match=r"a red cell is 5.0 pixels wide, and 8 are needed"):
        count([tmp_path / "cut.ome.tif"], out=tmp_path / "out2", red_cell=5)


@pytest.mark.slow
def test_a_pyramid_of_40000_by_30000_pixels_is_counted_within_2_gb(tmp_path: Path) -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip(
            "this system tells no peak memory of one program"
        )  # getrusage counts the process that started it, too
    from dorl.domains.rendered.slide import SlidePlan, write_slide

    layout = np.zeros((30, 40), int)
    layout[10:12, 10:15], layout[10:12, 16] = np.arange(10).reshape(2, 5) % 3 + 2, 1
    truth = write_slide(tmp_path / "big.svs", SlidePlan(layout, (40_000, 30_000)))
    script = (
        "import sys\n"
        "from dorl.commands.count import count\n"
        "count([sys.argv[1]], out=sys.argv[2])\n"
        "status = open('/proc/self/status').read()\n"
        "print(1024 * int(status.split('VmHWM:')[1].split()[0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "big.svs"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1])
    assert peak < 2 * 2**30
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    found = hits(truth, boxes_of(cells))
    assert max(found) == 1
    assert np.mean(found) > 0.95
