from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorl.classification import Calibration, calibrate, calibration_error, load_calibration, make_classifier
from dorl.classification.calibration import LAB_SPREAD, save_calibration
from dorl.classification.heldout import MIN_HELD_OUT_CELLS
from dorl.errors import InputError

GOOD = Calibration(1.5, 0.2, 0.6, 0.9, 200, 0.1, 0.02)


def cells(count: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes whose features lie `noise` apart from where they belong."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 3, count)
    return np.eye(3)[index] + noise * rng.normal(size=(count, 3)), np.array(["a", "b", "c"])[index]


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=9),
    st.floats(0, 20),
    st.floats(-9, 9),
)
def test_the_likeliest_class_stays_so(rows: list[list[float]], slope: float, offset: float) -> None:
    said = np.array(rows) + 1e-3
    said /= said.sum(1, keepdims=True)
    made = replace(GOOD, slope=slope, offset=offset).apply(said)
    np.testing.assert_allclose(made.sum(1), 1)
    assert (made > 0).all()
    assert (made.argmax(1) == said.argmax(1)).all()


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    said = np.array([[0.9, 0.1]] * 10)
    assert calibration_error(said, [True] * 9 + [False]) == pytest.approx(0)
    assert calibration_error(said, [True] * 4 + [False] * 6) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["SVM (linear)", "LR", "RF"])
def test_probabilities_of_cells_never_seen_become_honest(name: str) -> None:
    X, y = cells(600, 0.6)
    model = make_classifier(name)
    found = calibrate(model, X, y)
    assert found is not None
    model.fit(X, y)
    new, truth = cells(3000, 0.6, seed=1)
    said = model.predict_proba(new)
    right = model.predict(new) == truth
    assert calibration_error(found.apply(said), right) < 0.05
    share, low, high = found.estimate(found.apply(said).max(1))
    assert low < right.mean() < high
    assert share == pytest.approx(found.accuracy, abs=0.05)


def test_the_margin_machine_is_far_off_without_it() -> None:
    X, y = cells(600, 0.4)
    found = calibrate(make_classifier("SVM (linear)"), X, y)
    assert found is not None
    assert found.error_before > 2 * found.error_after
    assert found.slope > 1


def test_less_confident_cells_are_expected_to_be_wrong_more_often() -> None:
    sure, unsure = GOOD.estimate(np.full(50, 0.9)), GOOD.estimate(np.r_[np.full(25, 0.9), np.full(25, 0.4)])
    assert sure[0] == 1
    assert unsure[0] == 0.5
    assert 0 <= unsure[1] < unsure[0] < unsure[2] <= 1
    assert sure[1] < 1  # fifty cells are no proof
    few = GOOD.estimate(np.r_[0.9, 0.4])
    assert few[2] - few[1] > unsure[2] - unsure[1]


def test_too_few_cells_say_nothing() -> None:
    X, y = cells(MIN_HELD_OUT_CELLS - 1, 0.1)
    assert calibrate(make_classifier("LR"), X, y) is None
    X, y = cells(100, 0.1)
    assert calibrate(make_classifier("LR"), X, np.full(100, "a")) is None
    assert calibrate(make_classifier("LR"), X, np.arange(100)) is None


def test_a_class_of_one_cell_does_no_harm() -> None:
    X, y = cells(100, 0.2)
    y = y.astype(object)
    y[0] = "rare"
    found = calibrate(make_classifier("LR"), X, y)
    assert found is not None
    assert found.cells in (99, 100)
    assert found.error_after < 0.05


def test_a_file_holds_it_and_a_damaged_one_is_told(tmp_path) -> None:
    path = tmp_path / "lr.json"
    assert load_calibration(path) is None
    save_calibration(GOOD, path)
    assert load_calibration(path) == GOOD
    for text in ("{", "[]", json.dumps({"slope": 1}), path.read_text().replace("1.5", "-1")):
        path.write_text(text)
        with pytest.raises(InputError, match="damaged"):
            load_calibration(path)
    with pytest.raises(ValueError, match="numbers"):
        replace(GOOD, threshold=float("nan"))


def test_what_a_classifier_said_before_and_after_adapting_is_weighed_alike() -> None:
    found = Calibration(1.0, 0.0, 0.7, 0.9, 200, 0.02, 0.01)
    before, after = np.r_[np.full(60, 0.9), np.full(40, 0.5)], np.r_[np.full(80, 0.9), np.full(20, 0.5)]
    share, low, high = found.estimate(before, after)
    assert share == pytest.approx(0.7)
    assert low == found.estimate(before)[1]
    assert high == found.estimate(after)[2]


def test_what_stays_after_adapting_narrows_the_interval_to_what_labs_differ_by() -> None:
    found = Calibration(1.0, 0.0, 0.7, 0.9, 200, 0.02, 0.01)
    before, after = np.r_[np.full(150, 0.9), np.full(150, 0.5)], np.r_[np.full(285, 0.9), np.full(15, 0.5)]
    wide, narrow = found.estimate(before, after), found.estimate(before, after, agreement=0.9)
    assert narrow[0] == pytest.approx((0.5 + 0.95 + 0.9) / 3)
    assert narrow[2] - narrow[1] < 0.27 < wide[2] - wide[1]
    many = [np.tile(values, 100) for values in (before, after)]
    _, low, high = replace(found, cells=10**6).estimate(*many, agreement=0.9)
    assert (high - low) / 2 == pytest.approx(1.96 * LAB_SPREAD, rel=0.01)


def test_cells_that_are_all_right_do_not_make_every_confidence_high() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(at, 0.3, (60, 3)) for at in (-2, 2)])
    found = calibrate(make_classifier("LR"), X, np.repeat(["a", "b"], 60))
    assert found is not None
    assert found.accuracy == 1
    unsure = found.apply([[0.55, 0.45]])[0]
    assert unsure[0] < 0.9
    assert found.estimate(np.full(50, unsure[0]))[0] == 0


def test_where_it_could_adapt_its_agreement_with_that_counts() -> None:
    sure = np.full(200, 0.9)
    alone, low, high = GOOD.estimate(sure)
    share, lower, higher = GOOD.estimate(sure, agreement=0.5)
    assert share == pytest.approx((alone + 0.5) / 2)
    assert lower < 0.5 < low
    assert higher == high
