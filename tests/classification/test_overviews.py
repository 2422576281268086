from __future__ import annotations

import numpy as np
import pytest

from dorl.classification import load_classifier, make_classifier, save_classifier
from dorl.classification.overviews import OverViews


def cells(count: int = 60, views: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that differ in one number, which restained views shift; some views are missing."""
    rng = np.random.default_rng(seed)
    y = np.repeat(["monocyte", "eosinophil"], count // 2)
    X = rng.normal(size=(count, views, 5)).astype(np.float32)
    X[:, :, 0] += 6 * (y == "monocyte")[:, None]
    X[::5, 2:] = np.nan
    return X, y


@pytest.mark.parametrize("name", ["LR", "RF", "SVM (linear)", "ANN"])
def test_every_classifier_learns_views_and_is_saved(name: str, tmp_path) -> None:
    X, y = cells()
    model = make_classifier(name, 1, shared=0).fit(X, y)
    other, truth = cells(seed=1)
    said = model.predict_proba(other[:, :2])
    assert said.shape == (60, 2)
    assert np.allclose(said.sum(1), 1)
    assert (model.predict(other) == truth).mean() > 0.9
    save_classifier(model, tmp_path / "one.skops")
    again = load_classifier(tmp_path / "one.skops")
    assert np.array_equal(again.predict_proba(other[:, :2]), said)


def test_a_cell_is_classified_by_its_plain_views_alone() -> None:
    X, y = cells()
    model = make_classifier("LR", shared=0).fit(X, y)
    changed = X.copy()
    changed[:, 2:] = 99
    assert np.array_equal(model.predict_proba(X), model.predict_proba(changed))
    swapped = X[:, [1, 0, 2, 3]]
    assert np.allclose(model.predict_proba(X), model.predict_proba(swapped))


def test_it_learns_s_alone_as_it_is_scaled() -> None:
    X, y = cells()
    model = make_classifier("LR", shared=2).fit(X, y)
    changed = X.copy()
    changed[..., 2:] = 99
    assert np.array_equal(model.predict_proba(X), model.predict_proba(changed))
    small = X * np.array([1e-3, 1, 1, 1, 1], np.float32)  # the number that tells the classes tells little
    assert (make_classifier("LR", shared=2).fit(small, y).predict(small) == y).mean() < 0.8
    assert (make_classifier("LR", shared=0).fit(small, y).predict(small) == y).mean() > 0.9


def test_too_many_views_are_drawn_from_all_cells() -> None:
    class Counting:
        def __init__(self) -> None:
            self.seen = 0

        def get_params(self, deep: bool = True) -> dict:
            return {}

        def fit(self, X: np.ndarray, y: np.ndarray) -> Counting:
            self.classes_, self.seen = np.unique(y), len(X)
            return self

    X, y = cells()
    model = OverViews(Counting(), most=120).fit(X, y)
    assert model.estimator_.seen == 120  # the first two, or the first and another, of each cell
    assert OverViews(Counting(), most=10).fit(X, y).estimator_.seen == 60
    assert OverViews(Counting()).fit(X, y).estimator_.seen == int((~np.isnan(X[..., 0])).sum())
