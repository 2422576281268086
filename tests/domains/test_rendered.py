"""Rendered labs: what a picture holds, how classes and labs differ, and that a seed repeats them."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import label as label_parts
from skimage.measure import regionprops

from dorl.domains.rendered import CELL_CLASSES, STYLES, random_style, render_cell, render_lab
from dorl.errors import InputError


def _solidity(mask: np.ndarray) -> float:
    """Area over area of the convex hull: 1 for a disc, lower for what is notched or lobed."""
    return max(regionprops(label_parts(mask)), key=lambda part: part.area).solidity


def _cells(label: str, count: int, size: int = 128) -> list:
    return [render_cell(label, STYLES["harbour"], np.random.default_rng(i), size) for i in range(count)]


def test_the_thirteen_classes():
    assert len(CELL_CLASSES) == len(set(CELL_CLASSES)) == 13
    assert {"smudge_cell", "lymphocyte_atypical", "neutrophil_banded"} <= set(CELL_CLASSES)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("label", CELL_CLASSES)
def test_every_class_in_every_style(label, style):
    for seed in range(3):
        cell = render_cell(label, STYLES[style], np.random.default_rng(seed), size=96)
        assert cell.image.shape == (96, 96, 3)
        assert cell.image.dtype == np.uint8
        assert cell.mask.shape == cell.nucleus.shape == (96, 96)
        assert cell.mask.dtype == cell.nucleus.dtype == np.bool_
        assert cell.label == label
        assert ndimage.label(cell.mask)[1] == 1
        assert 0.015 < cell.mask.mean() < 0.8
        assert cell.nucleus.sum() > 0.15 * cell.mask.sum()
        assert not (cell.nucleus & ~cell.mask).any()


@pytest.mark.parametrize("seed", range(20))
def test_random_styles_hold_a_cell_too(seed):
    rng = np.random.default_rng(seed)
    style = random_style(rng)
    cell = render_cell(CELL_CLASSES[seed % 13], style, rng, size=96)
    assert ndimage.label(cell.mask)[1] == 1
    assert cell.image.std() > 3


def test_same_state_same_picture():
    first, again, other = (
        render_cell("monocyte", STYLES["dune"], np.random.default_rng(seed), 96) for seed in (5, 5, 6)
    )
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.mask, other.mask)


def test_the_mask_lies_on_the_stained_cell():
    for label in CELL_CLASSES:
        for cell in _cells(label, 3):
            grey = cell.image[..., 1].astype(float)
            ring = ndimage.binary_dilation(cell.mask, iterations=4) & ~ndimage.binary_dilation(cell.mask)
            assert grey[cell.nucleus].mean() < 0.85 * np.median(grey[ring])


@pytest.mark.parametrize("label", ["neutrophil_segmented", "neutrophil_banded", "metamyelocyte", "monocyte"])
def test_the_nucleus_lies_on_the_dark_chromatin(label):
    for cell in _cells(label, 5):
        green = cell.image[..., 1].astype(float)
        inner = ndimage.binary_erosion(cell.nucleus, iterations=2)
        cytoplasm = cell.mask & ~ndimage.binary_dilation(cell.nucleus, iterations=2)
        # Not the means alone: nearly every pixel is on its own side, so a turned or shifted mask is noticed.
        between = 0.5 * (np.median(green[inner]) + np.median(green[cytoplasm]))
        assert np.mean(green[inner] < between) > 0.95
        assert np.mean(green[cytoplasm] > between) > 0.85


def test_nuclei_differ_in_shape():
    solidity = {
        label: np.mean([_solidity(cell.nucleus) for cell in _cells(label, 12)])
        for label in ("lymphocyte_typical", "myeloblast", "metamyelocyte", "neutrophil_banded")
    }
    segmented = np.mean([_solidity(cell.nucleus) for cell in _cells("neutrophil_segmented", 12)])
    assert segmented < solidity["lymphocyte_typical"] - 0.15
    assert solidity["neutrophil_banded"] < solidity["metamyelocyte"] - 0.03
    assert solidity["metamyelocyte"] < solidity["myeloblast"] - 0.03


def test_cells_differ_in_size_and_outline():
    area = {
        label: np.mean([cell.mask.sum() for cell in _cells(label, 8)])
        for label in ("erythroblast", "lymphocyte_typical", "neutrophil_segmented", "promyelocyte")
    }
    assert list(area) == sorted(area, key=area.__getitem__)
    assert area["promyelocyte"] > 2.5 * area["lymphocyte_typical"]
    skirted = np.mean([_solidity(cell.mask) for cell in _cells("lymphocyte_atypical", 8)])
    whole = np.mean([_solidity(cell.mask) for cell in _cells("lymphocyte_typical", 8)])
    assert skirted < whole - 0.02


def test_nucleus_share_follows_the_class():
    share = {
        label: np.mean([cell.nucleus.sum() / cell.mask.sum() for cell in _cells(label, 8)])
        for label in ("neutrophil_segmented", "monocyte", "myeloblast", "smudge_cell")
    }
    assert list(share) == sorted(share, key=share.__getitem__)
    assert share["smudge_cell"] == 1


def test_styles_differ_in_colour():
    colours = {
        name: np.mean([render_cell("monocyte", style, np.random.default_rng(i), 64).image for i in range(8)], (0, 1, 2))
        for name, style in STYLES.items()
    }
    assert len(colours) >= 5
    for a, b in itertools.combinations(colours, 2):
        assert np.linalg.norm(colours[a] - colours[b]) > 15, (a, b)


def test_random_styles_go_beyond_the_presets():
    rng = np.random.default_rng(0)
    drawn = [random_style(rng) for _ in range(400)]
    for field in ("strength", "blur", "noise", "magnification", "density", "pallor", "vignette"):
        values = [getattr(style, field) for style in drawn]
        known = [getattr(style, field) for style in STYLES.values()]
        assert min(values) <= min(known), field
        assert max(values) > max(known), field


def test_render_lab_writes_what_the_manifest_says(tmp_path: Path):
    manifest = render_lab(tmp_path / "lab", style="forest", cells=29, seed=3, size=64)
    assert manifest == tmp_path / "lab" / "manifest.csv"
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "mask", "label", "patient"]
    assert rows[0]["image"] == "images/000.png"
    labels = [row["label"] for row in rows]
    assert len(rows) == 29
    assert {labels.count(name) for name in CELL_CLASSES} == {2, 3}
    assert labels[:13] != list(CELL_CLASSES)
    assert len({row["patient"] for row in rows}) > 1
    for row in rows:
        with Image.open(manifest.parent / row["image"]) as image:
            assert (image.mode, image.size) == ("RGB", (64, 64))
        with Image.open(manifest.parent / row["mask"]) as mask:
            assert set(np.unique(np.asarray(mask))) == {0, 255}
    assert len(list((tmp_path / "lab").rglob("*.png"))) == 58


def test_render_lab_repeats_itself(tmp_path: Path):
    def contents(name: str, seed: int) -> dict[str, bytes]:
        root = render_lab(tmp_path / name, style="valley", cells=4, seed=seed, size=64).parent
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    first = contents("a", 1)
    assert first == contents("b", 1)
    assert first != contents("c", 2)


def test_render_lab_with_chosen_classes_and_own_style(tmp_path: Path):
    style = random_style(np.random.default_rng(1))
    manifest = render_lab(tmp_path, style=style, cells=4, classes=["monocyte", "basophil"], size=48)
    labels = [line.split(",")[2] for line in manifest.read_text().splitlines()[1:]]
    assert sorted(labels) == ["basophil", "basophil", "monocyte", "monocyte"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "atlantis"}, "harbour"),
        ({"style": "dune", "classes": ["neutrofil"]}, "neutrophil_banded"),
        ({"style": "dune", "classes": []}, "no cell class"),
        ({"style": "dune", "cells": 0}, "at least 1"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(tmp_path: Path, arguments, message):
    with pytest.raises(InputError, match=message):
        render_lab(tmp_path / "lab", **arguments)
    assert not (tmp_path / "lab").exists()


def test_unknown_class_is_refused():
    with pytest.raises(InputError, match="basophil"):
        render_cell("neutrophil", STYLES["dune"], np.random.default_rng(0))
