"""Which cells are chosen to be labelled, on drawn groups of features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorl.classification.selection import select_cells


def groups(sizes: tuple[int, ...], *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of well-separated groups, and the group of each row."""
    rng = np.random.default_rng(seed)
    middles = 20 * rng.standard_normal((len(sizes), 8))
    of = np.repeat(np.arange(len(sizes)), sizes)
    return middles[of] + rng.standard_normal((len(of), 8)), of


def test_every_group_is_represented_the_largest_first() -> None:
    features, of = groups((12, 80, 40, 25))
    assert of[select_cells(features, None, 4)].tolist() == [1, 2, 3, 0]


def test_the_least_certain_of_the_typical_is_taken() -> None:
    spread = np.linspace(-1, 1, 60)
    features = np.stack([np.repeat([0.0, 50.0], 60), np.tile(spread, 2)], 1)
    probabilities = np.tile([0.99, 0.01], (120, 1))
    near, far = 25, 59
    probabilities[[near, far]] = 0.5
    chosen = select_cells(features, probabilities, 2)
    assert near in chosen
    assert far not in chosen


def test_the_same_seed_chooses_alike() -> None:
    features, _ = groups((50, 50, 50))
    assert (select_cells(features, None, 9, seed=3) == select_cells(features, None, 9, seed=3)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 5), st.integers(0, 3))
def test_as_many_as_asked_for_and_none_twice(total: int, count: int, width: int, alike: int) -> None:
    features = np.random.default_rng(total).integers(0, 1 + alike, (total, width)).astype(np.float32)
    chosen = select_cells(features, np.full((total, 2), 0.5), count)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, total)
    assert set(chosen.tolist()) <= set(range(total))


def test_many_cells_are_grouped_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorl.classification.selection.MAX_WHOLE_CELLS", 10)
    features, of = groups((40, 80))
    assert sorted(of[select_cells(features, None, 2)].tolist()) == [0, 1]
