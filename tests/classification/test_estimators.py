"""What the thin estimators add to those of the libraries."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.ensemble import _forest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from dorl.classification import estimators, load_classifier, save_classifier
from dorl.classification.estimators import EarlyStoppingMLP, SoftmaxSVC, SteadyForest, XGBoostClassifier

from .made_up import lab

THREE = lab({"neutrophil": 30, "monocyte": 30, "eosinophil": 20})
TWO = lab({"neutrophil": 20, "monocyte": 20})


def test_the_svm_keeps_the_machines_own_decision() -> None:
    own = SVC(kernel="linear", break_ties=True).fit(THREE.X, THREE.y.astype(str))
    ours = SoftmaxSVC(kernel="linear", break_ties=True).fit(THREE.X, THREE.y.astype(str))
    far = np.random.default_rng(0).normal(scale=8, size=(300, 3)).astype(np.float32)
    np.testing.assert_array_equal(ours.predict(far), own.predict(far))
    np.testing.assert_array_equal(ours.classes_[ours.predict_proba(far).argmax(1)], own.predict(far))


def test_of_two_classes_the_svm_gives_the_logistic_of_its_margin() -> None:
    machine = SoftmaxSVC(kernel="linear", break_ties=True).fit(TWO.X, TWO.y.astype(str))
    probabilities = machine.predict_proba(TWO.X)
    np.testing.assert_allclose(probabilities[:, 1], expit(machine.decision_function(TWO.X)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_forest_answers_the_same_every_time() -> None:
    forest = SteadyForest(n_estimators=50, random_state=0).fit(THREE.X, THREE.y.astype(str))
    first = forest.predict_proba(THREE.X)
    assert all((forest.predict_proba(THREE.X) == first).all() for _ in range(5))
    assert forest.n_jobs is None  # asked in turn


def test_boosted_trees_take_names_with_gaps() -> None:
    some = THREE.y != "monocyte"  # a fold that lacks the class in the middle
    model = XGBoostClassifier(n_estimators=10).fit(THREE.X[some], THREE.y[some].astype(str))
    assert model.classes_.tolist() == ["eosinophil", "neutrophil"]
    assert (model.predict(THREE.X[some]) == THREE.y[some]).all()


def test_trees_of_very_many_values_take_coarser_steps_and_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = four_classes(2000)
    fine = XGBoostClassifier(n_estimators=20).fit(X[:1000], y[:1000])
    assert fine.model_.max_bin is None  # XGBoost's own
    monkeypatch.setattr(XGBoostClassifier, "MANY", X[:1000].size)
    coarse = XGBoostClassifier(n_estimators=20).fit(X[:1000], y[:1000])
    assert coarse.model_.max_bin == 64
    assert abs(coarse.score(X[1000:], y[1000:]) - fine.score(X[1000:], y[1000:])) < 0.03


@pytest.mark.parametrize(
    ("counts", "early"),
    [
        ({"neutrophil": 20, "monocyte": 20}, True),
        ({"neutrophil": 20, "monocyte": 1}, False),
        ({"neutrophil": 5, "monocyte": 5}, False),  # a tenth is one cell for two classes
    ],
)
def test_the_network_stops_early_only_where_a_tenth_holds_every_class(counts: dict[str, int], early: bool) -> None:
    data = lab(counts)
    model = EarlyStoppingMLP(hidden_layer_sizes=(8,), max_iter=1000).fit(data.X, data.y.astype(str))
    assert model.model_.early_stopping is early
    assert set(model.predict(data.X)) <= set(counts)


@pytest.mark.parametrize("model", [XGBoostClassifier(n_estimators=7), EarlyStoppingMLP(max_iter=9, random_state=4)])
def test_settings_survive_cloning_and_an_unfitted_one_says_so(model: XGBoostClassifier | EarlyStoppingMLP) -> None:
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        clone(model).predict_proba(TWO.X)


def four_classes(cells: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Features (cells, 12) of classes that overlap, and their names."""
    rng = np.random.default_rng(0)
    index = rng.choice(4, cells, p=[0.4, 0.3, 0.2, 0.1])
    names = np.array(["basophil", "eosinophil", "monocyte", "neutrophil"])
    return (rng.normal(size=(cells, 12)) + index[:, None] * 0.4).astype(np.float32), names[index]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf"])
def test_decisions_are_those_of_scikit_learns_svc(kernel: str, classes: int) -> None:
    X, y = four_classes()
    y = y if classes == 4 else np.where(y == "monocyte", "monocyte", "other")
    ours = SoftmaxSVC(kernel=kernel, break_ties=True).fit(X[:300], y[:300])
    theirs = SVC(kernel=kernel, break_ties=True).fit(X[:300], y[:300])
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-9)
    assert (ours.predict(X) == theirs.predict(X)).all()
    assert (ours.classes_[ours.predict_proba(X).argmax(1)] == ours.predict(X)).all()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kernel", ["linear", "poly"])
def test_scikit_learn_intelex_learns_the_same_machine_which_scikit_learn_can_ask(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernel: str, classes: int
) -> None:
    pytest.importorskip("sklearnex")
    X, y = four_classes()
    y = y if classes == 4 else np.where(y == "monocyte", "monocyte", "other")
    monkeypatch.setattr(SoftmaxSVC, "MANY", 1)
    quick = SoftmaxSVC(kernel=kernel, break_ties=True).fit(X[:300], y[:300])
    monkeypatch.setattr(SoftmaxSVC, "MANY", 10**9)
    slow = SoftmaxSVC(kernel=kernel, break_ties=True).fit(X[:300], y[:300])
    assert quick.__dict__.keys() == slow.__dict__.keys()
    assert (quick.predict(X) == slow.predict(X)).mean() > 0.99
    np.testing.assert_allclose(quick.intercept_, slow.intercept_, atol=0.01)
    np.testing.assert_allclose(SVC.decision_function(quick, X), quick.decision_function(X), atol=1e-9)
    path = tmp_path / "svm.skops"
    save_classifier(make_pipeline(quick), path)
    np.testing.assert_array_equal(load_classifier(path).predict(X), quick.predict(X))


def test_few_values_are_learnt_by_libsvm_and_no_other_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("asked for scikit-learn-intelex")

    monkeypatch.setattr(estimators, "_intel_svc", never)
    X, y = four_classes()
    assert SoftmaxSVC(kernel="linear").fit(X, y).score(X, y) > 0.4


def test_the_forest_grows_on_all_threads_that_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    grow, grown = _forest._parallel_build_trees, []

    def told(*given: object, **more: object) -> object:
        grown.append(threading.get_ident())
        time.sleep(0.01)  # so that no thread takes them all
        return grow(*given, **more)

    monkeypatch.setattr(_forest, "_parallel_build_trees", told)
    for threads in (1, 2):
        monkeypatch.setattr("dorl.classification.estimators.own_threads", lambda threads=threads: threads)
        grown.clear()
        SteadyForest(n_estimators=8, random_state=0).fit(THREE.X, THREE.y.astype(str))
        assert len(set(grown)) == threads
