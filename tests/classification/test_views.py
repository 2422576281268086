from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dorl.classification import VIEWS, calibrate, load_classifier, make_classifier, save_classifier
from dorl.classification.views import ViewsClassifier

CLASSES = np.array(["eosinophil", "lymphocyte", "neutrophil"])


def cells(
    count: int = 60, *, seed: int = 0, shift: float = 0.0, views: int = 4, width: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Views (3·count, views, width) of three classes, perhaps of a lab that shifts and scales all features."""
    rng = np.random.default_rng(seed)
    y = np.repeat(CLASSES, count)
    # labs differ in what tells no class apart, and a little in what does
    middle = np.repeat(1.8 * np.eye(3, width), count, axis=0)
    cell = middle + 0.5 * rng.normal(size=(len(y), width))
    X = cell[:, None] + 0.3 * rng.normal(size=(len(y), views, width))
    X = X + shift * np.r_[0.4, -0.5, 0.3, np.full(width - 3, 1.0)]
    return X.astype(np.float16), y


def test_it_learns_and_gives_probabilities() -> None:
    X, y = cells()
    model = ViewsClassifier().fit(X, y)
    new, truth = cells(seed=1)
    said = model.predict_proba(new[:, :2])
    assert said.shape == (180, 3)
    assert np.allclose(said.sum(1), 1)
    assert (model.classes_[said.argmax(1)] == model.predict(new)).all()
    assert (model.predict(new) == truth).mean() > 0.95


def test_its_analysis_is_scikit_learns() -> None:
    X, y = cells(seed=2)
    model = ViewsClassifier(shrinkage=0.2).fit(X, y)
    rows = X.astype(float).reshape(-1, X.shape[2])
    scaler = StandardScaler().fit(rows)
    known = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(scaler.transform(rows), np.repeat(y, 4))
    expected = np.mean([known.predict_proba(scaler.transform(X[:, v].astype(float))) for v in (0, 1)], axis=0)
    weights, offsets = model._moments().analysis(0.2)
    found = softmax(X[:, :2].astype(float) @ weights.T + offsets, axis=2).mean(1)
    assert np.abs(found - expected).max() < 1e-6


def test_missing_views_are_passed_over() -> None:
    X, y = cells(seed=3)
    holes = X.copy()
    holes[::2, 2:] = np.nan
    kept = np.concatenate([X[::2, :2].reshape(-1, 12), X[1::2].reshape(-1, 12)])
    labels = np.concatenate([np.repeat(y[::2], 2), np.repeat(y[1::2], 4)])
    first, second = ViewsClassifier().fit(holes, y), ViewsClassifier().fit(kept[:, None], labels)
    assert np.allclose(first.means_, second.means_)
    assert np.allclose(first.scatter_, second.scatter_, rtol=1e-4, atol=1e-2)


def test_a_cell_that_weighs_three_counts_as_three() -> None:
    X, y = cells(20, seed=3)
    weight = np.where(np.arange(len(y)) % 5 == 0, 3, 1)
    first, second = (
        ViewsClassifier().fit(X, y, weight),
        ViewsClassifier().fit(np.repeat(X, weight, 0), y.repeat(weight)),
    )
    assert np.allclose(first.counts_, second.counts_)
    assert np.allclose(first.scatter_, second.scatter_, rtol=1e-3, atol=1e-2)
    assert np.abs(first.predict_proba(X) - second.predict_proba(X)).max() < 0.02


def test_it_adapts_to_another_lab_and_not_to_its_own() -> None:
    model = ViewsClassifier().fit(*cells())
    own, _ = cells(seed=4)
    other, truth = cells(seed=5, shift=2.5)
    assert model.suited(own, another_lab=False) is model
    assert not model.suited(other[::20], another_lab=True).adapted_  # too few
    assert not model.suited(other, another_lab=True, adapt=False).adapted_
    adapted = model.suited(other, another_lab=True)
    assert adapted.adapted_
    before, after = ((m.predict(other) == truth).mean() for m in (model, adapted))
    assert after > before + 0.03


def with_s(X: np.ndarray) -> np.ndarray:
    """Cells with s before their description: the three numbers that tell classes."""
    return np.concatenate([X[..., :3], X], -1)


def test_another_labs_cells_are_told_by_s_most_and_its_own_by_the_description() -> None:
    X, y = cells()
    model = ViewsClassifier(shared=3).fit(with_s(X), y)
    new, truth = cells(seed=1)
    hidden, misled = with_s(new), with_s(new)
    hidden[..., :3] = 0
    misled[..., 3:] = with_s(new[::-1])[..., 3:]  # of the other classes' cells
    assert (model.predict(hidden) == truth).mean() > 0.95
    assert (model.predict(misled) == truth).mean() < 0.5
    elsewhere = model.suited(misled[:20], another_lab=True)
    assert (elsewhere.predict(misled) == truth).mean() > 0.9
    assert elsewhere.predict_proba(misled).sum(1) == pytest.approx(1)
    back = elsewhere.suited(hidden, another_lab=False)
    assert (back.predict_proba(hidden) == model.predict_proba(hidden)).all()


def test_s_is_told_where_it_does_not_part_classes_by_a_plane() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(["ring", "middle"], 200)
    angle, far = rng.uniform(0, 2 * np.pi, 400), np.where(y == "ring", 3, 0.5) + 0.2 * rng.normal(size=400)
    s = np.stack([far * np.cos(angle), far * np.sin(angle)], -1)[:, None].repeat(2, 1)
    X = np.concatenate([s, rng.normal(size=(400, 2, 4))], -1).astype(np.float32)
    model = ViewsClassifier(shared=2).fit(X, y)
    assert (model.elsewhere().predict(X) == y).mean() > 0.97
    assert (model.predict(X) == y).mean() < 0.7


def test_agreement_with_its_adapted_self_tells_how_many_it_has_right() -> None:
    X, y = cells()
    model = ViewsClassifier().fit(X, y)
    other, truth = cells(seed=1, shift=0.6)
    right = (model.predict(other) == truth).mean()
    assert model.agreement(other, another_lab=True) == pytest.approx(right, abs=0.1)
    assert model.agreement(other, another_lab=False) is None
    assert model.agreement(other[:50], another_lab=True) is None
    assert model.adapted(other).agreement(other, another_lab=True) is None


def test_adapting_leaves_the_model_as_it_was() -> None:
    model = ViewsClassifier().fit(*cells())
    other, _ = cells(seed=5, shift=2)
    before, counts = model.predict_proba(other), model.counts_.copy()
    adapted = model.adapted(other)
    assert (model.predict_proba(other) == before).all()
    assert (adapted.first_proba(other) == before).all()
    assert not np.allclose(adapted.predict_proba(other), before)
    assert (model.counts_ == counts).all()
    assert adapted.counts_.sum() == pytest.approx(2 * counts.sum())


def test_classes_that_blood_hardly_holds_are_not_learnt_without_labels() -> None:
    X, y = cells()
    other, truth = cells(seed=1, shift=0.6)
    names = np.where(y == "eosinophil", "erythroblast", y)
    model = ViewsClassifier().fit(X, names)
    adapted = model.adapted(other)
    number = model.classes_.tolist().index("erythroblast")
    assert (adapted.means_[number] == model.means_[number]).all()
    assert (adapted.means_ != model.means_).any(1).sum() == 2
    assert (adapted.predict(other) == np.where(truth == "eosinophil", "erythroblast", truth)).mean() > 0.9


def test_a_lab_that_seems_to_hold_uncommon_cells_alone_is_not_adapted_to() -> None:
    X, y = cells()
    names = np.select([y == "eosinophil", y == "lymphocyte"], ["erythroblast", "myeloblast"], y)
    model = ViewsClassifier().fit(X, names)
    clear = (model.predict_proba(X).max(1) > 0.9) & (model.predict(X) == names)
    assert model.adapted(X[clear & (names != "neutrophil")]) is model
    assert model.adapted(X[clear]) is not model


def test_a_lab_without_some_class_can_be_adapted_to() -> None:
    model = ViewsClassifier().fit(*cells())
    other, truth = cells(seed=6, shift=2)
    some = truth != "eosinophil"
    adapted = model.adapted(other[some])
    said = adapted.predict_proba(other[some])
    assert np.isfinite(said).all()
    assert (adapted.predict(other[some]) == truth[some]).mean() > 0.9


@pytest.mark.parametrize("classes", [CLASSES[:2], CLASSES])
def test_two_classes_and_a_class_of_one_cell_and_a_constant_feature(classes: np.ndarray) -> None:
    X, y = cells(seed=7)
    keep = np.isin(y, classes)
    X, y = X[keep], y[keep]
    X[:, :, 5] = 3
    first = np.flatnonzero(y == classes[0])[1:]
    X, y = np.delete(X, first, axis=0), np.delete(y, first)
    model = ViewsClassifier().fit(X, y)
    said = model.adapted(X).predict_proba(X)
    assert np.isfinite(said).all()
    assert (model.predict(X) == y).mean() > 0.9


def test_more_cells_than_the_regression_learns_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ViewsClassifier, "MAX_VIEWS", 200)
    X, y = cells(seed=8)
    model, again = ViewsClassifier(random_state=1).fit(X, y), ViewsClassifier(random_state=1).fit(X, y)
    assert model.counts_.sum() == 180 * 4
    assert (model.predict_proba(X) == again.predict_proba(X)).all()
    assert (model.predict(X) == y).mean() > 0.9


def test_a_rare_class_is_learnt_where_cells_must_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ViewsClassifier, "MAX_VIEWS", 200)
    X, y = cells(seed=8)
    keep = np.sort(np.concatenate([np.flatnonzero(y == CLASSES[1])[:2], np.flatnonzero(y != CLASSES[1])]))
    new, truth = cells(seed=11)
    for seed in range(8):  # a draw of 50 of 122 cells that knew no classes would miss both in every third
        model = ViewsClassifier(random_state=seed).fit(X[keep], y[keep])
        assert model.coef_.shape == (3, 12)
        assert (model.predict(new) == truth)[truth != CLASSES[1]].mean() > 0.9
        assert np.isfinite(model.adapted(X).predict_proba(new)).all()


def test_it_is_saved_and_calibrated_as_the_others(tmp_path: Path) -> None:
    X, y = cells(seed=9)
    model = make_classifier(VIEWS, 3).fit(X, y)
    views = make_classifier(VIEWS, 3, shared=3).fit(with_s(X), y)[-1].elsewhere()
    save_classifier(make_pipeline(views), tmp_path / "views.skops")
    assert (load_classifier(tmp_path / "views.skops").predict_proba(with_s(X)) == views.predict_proba(with_s(X))).all()
    for kept in (model, make_pipeline(model[-1].adapted(X))):
        save_classifier(kept, tmp_path / "views.skops")
        assert (load_classifier(tmp_path / "views.skops").predict_proba(X) == kept.predict_proba(X)).all()
    found = calibrate(make_classifier(VIEWS), X, y)
    assert found is not None
    assert found.error_after < 0.06
