from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from dorl.representation.discriminant import Moments, asked, surest


def views(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    return (rng.normal(size=(count, 4, 6)) + 1.5 * np.eye(3, 6)[y][:, None]).astype(np.float32), y


def test_its_analysis_is_scikit_learns() -> None:
    X, y = views(90)
    rows = X.reshape(-1, 6).astype(float)
    scaler = StandardScaler().fit(rows)
    known = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(scaler.transform(rows), y.repeat(4))
    expected = known.predict_proba(scaler.transform(rows)).reshape(90, 4, 3).mean(1)
    assert np.abs(asked(X, *Moments.of(X, y, 3).analysis(0.2)) - expected).max() < 1e-5


def test_joined_sums_are_those_of_all_cells() -> None:
    (X, y), (more, other) = views(60), views(30, seed=1)
    both = Moments.of(np.concatenate([X, more]), np.r_[y, other], 3)
    joined = Moments.of(X, y, 3).joined(Moments.of(more, other, 3), 4 * len(more))
    for one, two in zip(both, joined, strict=True):
        assert np.allclose(one, two, rtol=1e-4, atol=1e-3)
    assert Moments.of(X, y, 3).joined(Moments.of(more, other, 3), 60).counts.sum() == pytest.approx(1.25 * 240)


def test_columns_are_skipped_and_missing_views_passed_over() -> None:
    X, y = views(60)
    holes = np.concatenate([np.zeros((60, 4, 2), np.float32), X], 2)
    holes[:, 3] = np.nan
    for one, two in zip(Moments.of(holes, y, 3, skip=2), Moments.of(X[:, :3], y, 3), strict=True):
        assert np.allclose(one, two)


def test_a_class_without_a_cell_is_never_chosen() -> None:
    X, y = views(60)
    assert (asked(X, *Moments.of(X, y, 5).analysis())[:, 3:] == 0).all()


def test_the_surest_of_each_class_are_taken() -> None:
    told = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.4, 0.6]])
    index, taken = surest(told, 0.5)
    assert index.tolist() == [0, 0, 0, 1, 1]
    assert taken.tolist() == [True, True, False, True, False]
