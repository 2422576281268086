"""Masks among the images are masks of these, or left out by name; they are never cells."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains import Domain, read_domain

RNG = np.random.default_rng(0)
CELL = np.zeros((40, 50), np.uint8)
CELL[10:30, 10:35] = 255


def photograph(path: Path, size: tuple[int, int] = (40, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def mask(path: Path, values: np.ndarray = CELL) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def pairs(lab: Domain) -> dict[str, str | None]:
    return dict(zip(lab.table["path"], lab.table["mask"], strict=True))


def reasons(lab: Domain) -> dict[str, str]:
    return dict(zip(lab.left_out["path"], lab.left_out["reason"], strict=True))


@pytest.mark.parametrize(
    ("image", "beside"),
    [
        ("monocyte/b.png", "monocyte/b_mask.png"),
        ("monocyte/b.jpg", "monocyte/b-Mask.PNG"),
        ("monocyte/b.png", "monocyte/mask_b.tif"),
        ("monocyte/b.png", "monocyte/b_cp_masks.png"),
        ("monocyte/b.png", "monocyte/b_seg.png"),
        ("monocyte/12.png", "monocyte/mask12.png"),
        ("monocyte/b.png", "monocyte/b.png.mask.png"),
        ("monocyte/b.png", "monocyte/b_mask_1.png"),
        ("monocyte/12.png", "monocyte/12mask.png"),
        ("monocyte/b.png", "monocyte/masks/b.png"),
        ("monocyte/b.jpg", "monocyte/masks/b_mask.png"),
        ("images/monocyte/b.jpg", "masks/monocyte/b.png"),
        ("monocyte/images/b.jpg", "monocyte/Ground Truth/b.png"),
        ("monocyte/b.bmp", "monocyte/b.png"),
    ],
)
def test_a_mask_beside_its_image(tmp_path, image, beside):
    photograph(tmp_path / image)
    photograph(tmp_path / "neutrophil" / "alone.png")
    mask(tmp_path / beside)
    lab = read_domain(tmp_path)
    assert pairs(lab) == {image: beside, "neutrophil/alone.png": None}
    assert lab.labels.tolist() == ["monocyte", "neutrophil"]
    found = lab.load_mask(0)
    assert found is not None
    np.testing.assert_array_equal(found, CELL > 0)
    assert len(read_domain(tmp_path, layout="flat", any_class=True)) == 2
    assert lab.remarks[0].startswith(f"1 file is read as a mask of the images beside them, not as images ({beside})")


def test_photographs_that_are_named_like_masks_stay_images(tmp_path):
    names = ["neutrophil/a.png", "neutrophil/a_seg.png", "Segs/b.png", "neutrophil/masks/c.png", "neutrophil/seg_1.png"]
    for name in names:
        photograph(tmp_path / name)
    assert pairs(read_domain(tmp_path)) == dict.fromkeys(sorted(names))


def test_pictures_of_one_colour_are_no_masks_of_others(tmp_path):
    photograph(tmp_path / "a.jpg")
    mask(tmp_path / "a.png", np.full((40, 50, 3), 255, np.uint8))
    assert pairs(read_domain(tmp_path)) == {"a.jpg": None, "a.png": None}


def test_masks_that_fit_no_image_are_left_out(tmp_path):
    photograph(tmp_path / "a.png")
    mask(tmp_path / "gone_mask.png")
    mask(tmp_path / "a_mask.png", CELL[:20])
    photograph(tmp_path / "b.png")
    mask(tmp_path / "b_mask.png")
    mask(tmp_path / "masks" / "b.png")
    photograph(tmp_path / "c.png")
    mask(tmp_path / "c_nucleus.png")
    lab = read_domain(tmp_path)
    assert pairs(lab) == {"a.png": None, "b.png": None, "c.png": None}
    several = "is one of several masks of b.png: give one mask of the whole cell"
    assert reasons(lab) == {
        "b_mask.png": several,
        "c_nucleus.png": "shows a part of the cell of c.png by its name: give one mask of the whole cell",
        "a_mask.png": "is a mask of a.png by its name, and of another size",
        "gone_mask.png": "is a mask, by its name and its few colours, and has no image beside it",
        "masks/b.png": several,
    }


@pytest.mark.posix
def test_names_with_marks_apart_and_names_that_are_no_utf8(tmp_path):
    photograph(tmp_path / "\xe9.png")
    mask(tmp_path / "e\u0301_mask.png")
    photograph(tmp_path / os.fsdecode(b"b\xe9.png"))
    mask(tmp_path / os.fsdecode(b"b\xe9_mask.png"))
    photograph(tmp_path / os.fsdecode(b"c\xe9.png"))
    mask(tmp_path / os.fsdecode(b"c\xe9_nucleus.png"))
    lab = read_domain(tmp_path)
    assert pairs(lab) == {"b\\xe9.png": "b\\xe9_mask.png", "\xe9.png": "e\u0301_mask.png", "c\\xe9.png": None}
    assert all(lab.load_mask(i).sum() == 20 * 25 for i in range(3) if lab.table["mask"].iat[i])
    ((path, reason),) = reasons(lab).items()
    assert path == "c\\xe9_nucleus.png"
    assert "of c\\xe9.png by its name" in reason
    assert "\\xe9_mask.png" in lab.remarks[0]
    f"{path}{reason}{lab.remarks}".encode()  # can be written to any file
