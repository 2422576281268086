"""A domain: its table, its images and masks, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.domains import Domain
from dorl.domains.domain import COLUMNS
from dorl.domains.sources import ArraySource
from dorl.errors import BadImageError, InputError


def in_memory(labels: list[str | None], name: str = "lab") -> Domain:
    paths = [f"{i}" for i in range(len(labels))]
    images = {path: np.full((10 + i, 20, 3), i, dtype=np.uint8) for i, path in enumerate(paths)}
    table = pd.DataFrame({"path": paths, "label": labels})
    return Domain(name, Path(), "made-up", table, source=ArraySource(images))


@pytest.fixture
def on_disk(tmp_path) -> Domain:
    Image.new("RGB", (30, 20), (1, 2, 3)).save(tmp_path / "a.png")
    Image.new("RGB", (10, 40), (4, 5, 6)).save(tmp_path / "b.png")
    cell = np.zeros((20, 30), dtype=np.uint8)
    cell[5:10, 5:10] = 128
    Image.fromarray(cell).save(tmp_path / "m.png")
    table = pd.DataFrame({"path": ["a.png", "b.png"], "mask": ["m.png", None], "label": ["monocyte", "basophil"]})
    return Domain("lab", tmp_path, "manifest", table)


def test_table_has_every_column_and_none_where_unknown():
    lab = in_memory(["monocyte", None])
    assert tuple(lab.table.columns) == COLUMNS
    assert lab.table.index.tolist() == [0, 1]
    assert lab.labels.tolist() == ["monocyte", None]
    assert all(value is None for value in lab.table["mask"])
    assert lab.classes == ("monocyte",)
    assert len(lab) == 2
    assert not lab.has_masks
    assert list(lab.left_out.columns) == ["path", "reason"]


def test_images_and_masks_from_files(on_disk):
    assert (on_disk.load(0) == (1, 2, 3)).all()
    assert on_disk.load(1).shape == (40, 10, 3)
    assert on_disk.has_masks
    assert on_disk.load_mask(0).sum() == 25
    assert on_disk.load_mask(1) is None
    assert on_disk.key(1) == "lab/b.png"


def test_a_mask_of_another_size(on_disk):
    Image.new("L", (5, 5)).save(on_disk.root / "m.png")
    with pytest.raises(BadImageError):
        on_disk.load_mask(0)
    Image.new("L", (20, 30)).save(on_disk.root / "m.png")
    with pytest.raises(BadImageError, match="20×30 pixels, its image 30×20"):
        on_disk.load_mask(0)


def test_masks_from_arrays():
    image = np.zeros((10, 12, 3), dtype=np.uint8)
    table = pd.DataFrame({"path": ["a", "b"], "mask": ["a", "b"]})
    masks = {"a": np.full((10, 12), 255), "b": np.ones((12, 10))}
    lab = Domain("lab", Path(), "made-up", table, source=ArraySource({"a": image, "b": image}, masks))
    assert lab.load_mask(0).dtype == bool
    assert lab.load_mask(0).all()
    with pytest.raises(BadImageError):
        lab.load_mask(1)


def test_painting_on_a_loaded_image_leaves_the_lab_as_it_is():
    lab = in_memory([None])
    lab.load(0)[:] = 9
    assert (lab.load(0) == 0).all()


@pytest.mark.parametrize("wanted", [[2, 0], np.array([2, 0]), (i for i in (2, 0))])
def test_take(wanted):
    part = in_memory(["monocyte", None, "basophil"]).take(wanted)
    assert part.labels.tolist() == ["basophil", "monocyte"]
    assert part.table.index.tolist() == [0, 1]
    assert part.load(0).shape == (12, 20, 3)


def test_take_by_bools_and_none():
    lab = in_memory(["monocyte", None, "basophil"])
    assert lab.take(lab.table["label"].notna()).labels.tolist() == ["monocyte", "basophil"]
    assert len(lab.take([])) == 0
    assert lab.take([]).describe()["images"] == 0
    assert "0 images" in lab.take([]).summary()


def test_describe(on_disk):
    facts = on_disk.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["images"] == facts["labelled"] == 2
    assert facts["with_mask"] == 1
    assert facts["classes"] == {"basophil": 1, "monocyte": 1}
    assert facts["width"] == {"min": 10, "median": 20, "max": 30}
    assert facts["height"] == {"min": 20, "median": 30, "max": 40}
    assert "class basophil has a single image (kept)" in facts["notes"]
    assert "1 of 2 images has a mask" in facts["notes"]


def test_describe_counts_what_is_left_out():
    reasons = pd.DataFrame({"path": ["x", "y", "z"], "reason": ["empty", "odd", "empty"]})
    images = {"a": np.zeros((9, 9, 3), dtype=np.uint8)}
    lab = Domain("lab", Path(), "made-up", pd.DataFrame({"path": ["a"]}), reasons, ArraySource(images))
    assert lab.describe()["left_out"] == {"empty": 2, "odd": 1}
    assert "left out: 3" in lab.summary()
    assert any("no image has a label" in note for note in lab.describe()["notes"])


def test_describe_survives_a_file_that_went_away(on_disk):
    (on_disk.root / "a.png").unlink()
    assert "1 image can no longer be read" in on_disk.describe()["notes"]
    with pytest.raises(BadImageError, match="No such file"):
        on_disk.load(0)


def test_summary_names_every_class():
    text = in_memory(["monocyte", "monocyte", "basophil", None], "clinic-2").summary()
    assert text.startswith("clinic-2: 4 images")
    assert "2  monocyte" in text
    assert "1 of 4 images has no label (kept)" in text


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a b", "a/b", "a=b", "-x", "a\n"])
def test_names_that_are_refused(name):
    with pytest.raises(InputError, match="can't name a lab"):
        in_memory([None], name)


@pytest.mark.parametrize("name", ["a", "Lab_2.1-b", "Göttingen", "7"])
def test_names_that_are_allowed(name):
    assert in_memory([None], name).key(0) == f"{name}/0"


def test_wrong_tables():
    with pytest.raises(InputError, match="no column 'path'"):
        Domain("lab", Path(), "flat", pd.DataFrame({"image": ["a"]}))
    with pytest.raises(InputError, match="'neutrofil'"):
        in_memory(["monocyte", "neutrofil"])


def test_a_reason_does_not_repeat_the_path(on_disk):
    (on_disk.root / "a.png").write_bytes(b"nothing")
    with pytest.raises(BadImageError) as caught:
        on_disk.load(0)
    assert on_disk.reason(0, caught.value) == "not a readable jpg, png, bmp, tiff, webp or gif image"
    (on_disk.root / "b.png").write_bytes(b"")
    assert on_disk.reason(0, BadImageError(f"{on_disk.root}/m.png: the file is empty")) == "m.png: the file is empty"
