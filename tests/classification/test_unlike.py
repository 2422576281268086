from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dorl.classification.unlike import CALLED, MIN_LAB_CELLS, Unlike, described

CENTRES = np.eye(20)[:4] * 6
NAMES = np.array(["a", "b", "c", "d"])


def cells(count: int, of: tuple[int, ...] = (0, 1, 2), *, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Features (count, 20) of classes that lie apart, and their names; `shift` moves all of them alike."""
    rng = np.random.default_rng(seed)
    index = np.array(of)[rng.integers(0, len(of), count)]
    X = CENTRES[index] + rng.normal(size=(count, 20))
    X[:, 10:] += shift
    return X, NAMES[index]


@pytest.fixture(scope="module")
def unlike() -> Unlike:
    found = Unlike.fit(*cells(600))
    assert found is not None
    return found


def test_as_many_held_out_cells_are_unlike_as_said(unlike: Unlike) -> None:
    new, _ = cells(4000, seed=1)
    assert (unlike.distance(new) > 1).mean() == pytest.approx(CALLED, abs=0.02)


def test_a_class_that_was_not_learnt_is_farther(unlike: Unlike) -> None:
    known, unknown = cells(300, seed=1)[0], cells(300, (3,), seed=2)[0]
    distance = unlike.distance(np.concatenate([known, unknown]))
    assert roc_auc_score(np.repeat([0, 1], 300), distance) > 0.95
    assert (distance[300:] > 1).mean() > 0.8


def test_a_whole_lab_is_not_unlike_but_an_unknown_class_in_it_is(unlike: Unlike) -> None:
    known, names = cells(300, shift=3, seed=1)
    unknown = cells(60, (3,), shift=3, seed=2)[0]
    lab = np.concatenate([known, unknown])
    assert unlike.of_another_lab(lab)
    assert not unlike.of_another_lab(cells(300, seed=3)[0])
    assert (unlike.distance(known) > 1).mean() > 0.5
    said = np.concatenate([(names[:, None] == NAMES[:3]).astype(float), np.full((60, 3), 1 / 3)])
    suited = unlike.suited(lab, said)
    assert (suited.distance(known) > 1).mean() < 0.15
    assert (suited.distance(unknown) > 1).mean() > 0.6
    assert unlike.suited(lab[: MIN_LAB_CELLS - 1], said[: MIN_LAB_CELLS - 1]) is unlike


@pytest.mark.parametrize("learnt", [30, 100, 600])
def test_cells_of_the_lab_learnt_are_its_own_however_few_were_learnt_and_in_any_mix(learnt: int) -> None:
    found = Unlike.fit(*cells(learnt))
    assert found is not None
    for seed, of in enumerate([(0, 1, 2), (0, 0, 0, 1), (1,), (2, 2, 1)]):
        assert not found.of_another_lab(cells(200, of, seed=10 + seed)[0])
    assert found.of_another_lab(cells(200, shift=4, seed=9)[0])
    assert not found.of_another_lab(np.empty((0, 20)))


def test_cells_are_compared_by_their_description_alone() -> None:
    views = np.arange(2 * 3 * 6, dtype=np.float16).reshape(2, 3, 6)
    np.testing.assert_array_equal(described(views, plain=2, skip=2, sized=True), views[:, :2, 2:5].mean(1))
    np.testing.assert_array_equal(described(views, plain=1, skip=0, sized=False), views[:, 0])
    np.testing.assert_array_equal(described(views[:, 0], plain=2, skip=2, sized=True), views[:, 0])  # as published
    assert described(views[:0], plain=2, skip=2, sized=True).shape == (0, 3)


def test_scales_of_the_features_do_not_count() -> None:
    X, y = cells(400)
    scale = np.logspace(-3, 3, 20)
    one, two = Unlike.fit(X, y), Unlike.fit(X * scale, y)
    assert one is not None
    assert two is not None
    new, _ = cells(50, seed=1)
    assert two.distance(new * scale) == pytest.approx(one.distance(new), rel=1e-3)


def test_copies_lie_in_one_fold() -> None:
    X, y = cells(60)
    twice, labels = np.concatenate([X, X]), np.concatenate([y, y])
    apart = Unlike.fit(twice, labels, groups=np.tile(np.arange(60), 2))
    mixed = Unlike.fit(twice, labels)
    assert apart is not None
    assert mixed is not None
    assert apart.threshold > mixed.threshold  # a copy that was learnt makes a cell look known


def test_with_too_few_cells_nothing_is_said() -> None:
    X, y = cells(60)
    assert Unlike.fit(X[y == "a"], y[y == "a"]) is None
    assert Unlike.fit(X[:2], np.array(["a", "b"])) is None
    assert Unlike.fit(X, y, groups=np.zeros(60, np.int64)) is None


def test_a_patients_cells_lie_in_one_fold_so_that_the_threshold_is_that_of_new_patients() -> None:
    """Patients whose cells all lie off to a side of their own: new patients' cells are farther than a known one's."""
    rng = np.random.default_rng(0)
    X, y = cells(600)
    patient = np.arange(600) % 12
    X = X + (rng.normal(size=(12, 20)) * 2.5)[patient]
    names = np.array([f"p{number}" for number in patient], object)
    mixed, apart = (Unlike.fit(X, y, patients=known) for known in (None, names))
    assert mixed is not None
    assert apart is not None
    assert apart.threshold > 1.05 * mixed.threshold
