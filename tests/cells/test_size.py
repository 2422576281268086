"""How large a cell is among those of its lab."""

from __future__ import annotations

import numpy as np
import pytest

from dorl.cells.size import MIN_SIZED_CELLS, log_diameter, relative, usual


def test_a_disc_has_its_diameter() -> None:
    y, x = np.mgrid[:101, :101] - 50
    assert np.exp(log_diameter(np.hypot(y, x) <= 20)) == pytest.approx(40, rel=0.02)
    assert np.isnan(log_diameter(np.zeros((5, 5), bool)))


def test_a_lab_is_measured_by_its_own_median_whatever_its_magnification() -> None:
    sizes = np.log(np.linspace(20, 60, 2 * MIN_SIZED_CELLS + 1))
    both = np.concatenate([sizes, sizes + np.log(3)])
    found = relative(both, ["near"] * len(sizes) + ["far"] * len(sizes))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[: len(sizes)], found[len(sizes) :], atol=1e-6)
    assert found[MIN_SIZED_CELLS] == pytest.approx(0, abs=1e-6)
    assert found[-1] == pytest.approx(np.log(60 / 40))


def test_of_few_cells_or_without_a_cell_nothing_is_said() -> None:
    sizes = np.arange(MIN_SIZED_CELLS, dtype=float)
    assert usual(sizes) == np.median(sizes)
    assert np.isnan(usual(sizes[1:]))
    assert relative(sizes[1:], ["lab"] * (MIN_SIZED_CELLS - 1)).tolist() == [0] * (MIN_SIZED_CELLS - 1)
    sizes = np.append(sizes, np.nan)
    assert relative(sizes, ["lab"] * len(sizes))[-1] == 0
