"""Measures of drawn cells, whose size, shape and colours are known, and of real nuclei."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorl.domains import read_domain, read_image
from dorl.segmentation.measures import COLUMNS, find_nucleus, in_micrometres, measure

CYTOPLASM, NUCLEUS = (200, 170, 210), (90, 40, 140)


def ellipse(rows: float, columns: float, *, centre: tuple[float, float] = (60, 70), side: int = 140) -> np.ndarray:
    y, x = np.indices((side, side))
    return ((y - centre[0]) / rows) ** 2 + ((x - centre[1]) / columns) ** 2 <= 1


def drawn(mask: np.ndarray, nucleus: np.ndarray) -> np.ndarray:
    image = np.full((*mask.shape, 3), 235, np.uint8)
    image[mask], image[nucleus] = CYTOPLASM, NUCLEUS
    return image


def test_a_round_cell_with_a_round_nucleus() -> None:
    mask, nucleus = ellipse(40, 40), ellipse(20, 20)
    found = measure(drawn(mask, nucleus), mask)
    assert tuple(found) == COLUMNS
    assert found["area_px"] == mask.sum()
    assert found["equivalent_diameter_px"] == pytest.approx(80, rel=0.02)
    assert found["major_axis_px"] == pytest.approx(80, rel=0.02)
    assert found["circularity"] > 0.9
    assert found["eccentricity"] < 0.2
    assert (found["centre_x"], found["centre_y"]) == pytest.approx((70, 60), abs=0.1)
    assert [found[side] for side in ("xmin", "ymin", "xmax", "ymax")] == [30, 20, 111, 101]
    assert found["nucleus_share"] == pytest.approx(0.25, abs=0.02)
    assert found["nucleus_parts"] == 1
    assert found["cytoplasm_green"] == pytest.approx(170, abs=6)
    assert found["nucleus_blue"] == pytest.approx(140, abs=6)
    assert found["nucleus_green"] < found["cell_green"] < found["cytoplasm_green"]


def test_lobes_are_counted_and_granules_are_not() -> None:
    mask = ellipse(45, 55)
    lobes = ellipse(12, 12, centre=(60, 45)) | ellipse(12, 12, centre=(50, 75)) | ellipse(12, 12, centre=(70, 100))
    granule = ellipse(3, 3, centre=(85, 70))
    assert measure(drawn(mask, lobes | granule), mask)["nucleus_parts"] == 3


def test_a_long_cell_is_long() -> None:
    mask = ellipse(20, 50)
    found = measure(drawn(mask, ellipse(10, 10)), mask)
    assert found["major_axis_px"] / found["minor_axis_px"] == pytest.approx(2.5, rel=0.05)
    assert found["eccentricity"] == pytest.approx(math.sqrt(1 - 0.4**2), abs=0.01)


def test_micrometres_scale_lengths_and_areas() -> None:
    mask = ellipse(40, 40)
    found = measure(drawn(mask, ellipse(20, 20)), mask)
    scaled = in_micrometres(found, 0.1)
    assert scaled["equivalent_diameter_um"] == pytest.approx(found["equivalent_diameter_px"] / 10)
    assert scaled["area_um"] == pytest.approx(found["area_px"] / 100)


def test_no_cell_measures_nothing() -> None:
    found = measure(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), bool))
    assert tuple(found) == COLUMNS
    assert all(math.isnan(value) for value in found.values())


def test_a_cell_of_one_shade_is_all_nucleus() -> None:
    mask = ellipse(20, 20)
    found = measure(drawn(mask, mask), mask)
    assert found["nucleus_share"] == 1
    assert math.isnan(found["cytoplasm_red"])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_any_mask_can_be_measured(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    mask[rng.integers(height) :, rng.integers(width) :] = True
    found = measure(rng.integers(0, 256, (height, width, 3), np.uint8), mask)
    assert found["area_px"] == mask.sum()
    assert 0 < found["nucleus_share"] <= 1
    assert 0 <= found["circularity"] <= 1


def test_nuclei_of_a_real_lab(data: Path) -> None:
    """JTSC's masks tell the nucleus apart; docs/your-own-lab.md gives the figure over all 300."""
    lab = read_domain(data / "JTSC_zheng2018" / "labels.csv", name="jtsc")
    dices = []
    for i in range(0, len(lab), 6):
        levels = read_image(lab.root / lab.table["mask"].iat[i])[..., 0]
        found, truth = find_nucleus(lab.load(i), levels > 0), levels == 255
        dices.append(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))
    assert np.mean(dices) > 0.9
