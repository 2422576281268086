"""The bank of training pictures, from rendered labs and drawn fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.domains import read_domain
from dorl.domains.boxes import Field
from dorl.domains.rendered import render_lab
from dorl.pretraining import bank as module
from dorl.pretraining.bank import BACKGROUND, CELL, NUCLEUS, SIDE, UNKNOWN, Bank, build_bank, from_cell, from_field

#: the last of the three cells that `made` renders
LAST = r"002\.png"


@pytest.fixture(autouse=True, scope="module")
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ProcessPoolExecutor", ThreadPoolExecutor)
        yield


def drawn_field(folder: Path, boxes: list[tuple[float, ...]], *, name: str = "f7.png") -> Field:
    """A field of 400×300 pixels, white cells dark in their boxes."""
    image = np.full((300, 400, 3), 220, np.uint8)
    for left, top, right, bottom in boxes:
        image[int(top) : int(bottom), int(left) : int(right)] = 90
    Image.fromarray(image).save(folder / name)
    return Field(folder / name, np.array(boxes, float).reshape(-1, 4), ("WBC",) * len(boxes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bank]:
    folder = tmp_path_factory.mktemp("bank")
    render_lab(folder / "lab", style="dune", cells=3, size=96)
    lab = read_domain(folder / "lab" / "manifest.csv", name="dune")
    plain = read_domain(folder / "lab" / "images", name="plain")
    fields = {"smear": [drawn_field(folder, [(150, 100, 210, 170)]), drawn_field(folder, [], name="f8.png")]}
    built = build_bank(folder / "b", labs=[lab, plain], fields=fields, rendered=2, leave_out=LAST, seed=1)
    return folder, built


def test_all_pictures_are_there_with_what_is_known(made: tuple[Path, Bank]) -> None:
    _, bank = made
    assert bank.images.shape == (len(bank), SIDE, SIDE, 3)
    table = bank.table
    assert table["lab"].value_counts().to_dict() == {"dune": 2, "plain": 2, "smear": 2, "rendered": 2}
    of = {lab: np.flatnonzero(table["lab"] == lab) for lab in table["lab"].unique()}
    assert table["known"].tolist() == [True, True, False, False, False, True, True, True]
    assert set(np.unique(bank.targets[of["dune"]])) == {BACKGROUND, CELL}
    assert (bank.targets[of["plain"]] == UNKNOWN).all()
    assert set(np.unique(bank.targets[of["rendered"]])) == {BACKGROUND, CELL, NUCLEUS}
    assert table["parts"].tolist() == [False] * 6 + [True] * 2
    empty = bank.targets[of["smear"][1]]  # the crop without a white cell, which may touch the margin of one
    assert (empty == BACKGROUND).mean() > 0.8
    assert not (empty == CELL).any()


def test_no_label_is_in_the_bank(made: tuple[Path, Bank]) -> None:
    assert set(made[1].table) == {"key", "lab", "known", "parts", "box"}


def test_a_second_start_takes_what_is_there(made: tuple[Path, Bank], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, bank = made
    lab = read_domain(folder / "lab" / "manifest.csv", name="dune")
    plain = read_domain(folder / "lab" / "images", name="plain")
    fields = {"smear": [drawn_field(folder, [(150, 100, 210, 170)]), drawn_field(folder, [], name="f8.png")]}
    options = {"labs": [lab, plain], "fields": fields, "rendered": 2, "leave_out": LAST}
    monkeypatch.setattr(module, "_write", lambda *a, **k: pytest.fail("written again"))
    pd.testing.assert_frame_equal(build_bank(folder / "b", **options, seed=1).table, bank.table)
    with pytest.raises(pytest.fail.Exception):
        build_bank(folder / "b", **options, seed=2)


def test_a_field_is_background_outside_its_boxes(tmp_path: Path) -> None:
    field = drawn_field(tmp_path, [(150, 100, 210, 170), (5, 5, 60, 60)])
    around, other, empty = from_field("smear", field, np.random.default_rng(0))
    picture, target, row = around
    left, top, right, bottom = json.loads(row["box"])
    assert (right - left) / (bottom - top) == pytest.approx(60 / 70, rel=0.02)
    dark = picture[..., 0] < 150
    assert (target[dark] == UNKNOWN).all()
    assert (target == BACKGROUND).mean() > 0.5
    assert other[2]["key"].endswith("#1")
    assert empty[2]["known"]
    assert (empty[0] > 200).all()


def test_a_field_without_a_marked_white_cell_is_not_trusted(tmp_path: Path) -> None:
    assert list(from_field("smear", drawn_field(tmp_path, []), np.random.default_rng(0))) == []


def test_nucleus_and_cytoplasm_are_read_from_masks_of_three_levels(tmp_path: Path) -> None:
    levels = np.zeros((40, 40), np.uint8)
    levels[8:32, 8:32], levels[14:24, 14:24] = 128, 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "image.png")
    (tmp_path / "labels.csv").write_text("image,mask\nimage.png,mask.png\n")
    _, target, row = from_cell(read_domain(tmp_path / "labels.csv"), 0)
    assert row["parts"]
    assert (target == NUCLEUS).mean() == pytest.approx(100 / 1600, abs=0.01)
    assert (target == CELL).mean() == pytest.approx((576 - 100) / 1600, abs=0.01)
