from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from dorl.classification.bootstrap import compare, holm, mcnemar, score_intervals, scores_of
from dorl.classification.metrics import confusion


def test_scores_of_many_matrices_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        true, said = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
        counts = confusion(true.tolist(), said.tolist(), range(4))  # type: ignore[arg-type]
        wanted = [
            accuracy_score(true, said),
            balanced_accuracy_score(true, said),
            f1_score(true, said, average="macro"),
        ]
        np.testing.assert_allclose(scores_of(np.stack([counts, 3 * counts])), [wanted, wanted])


def test_the_interval_by_cells_is_the_binomial_one_of_a_plain_accuracy() -> None:
    true = np.zeros(400, int)
    said = np.where(np.arange(400) < 300, 0, 1)
    found = score_intervals(true, said, 2)["accuracy"]
    wilson = binomtest(300, 400).proportion_ci(method="wilson")
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.004)


def test_ten_copies_of_each_patients_cell_don_t_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    true, said = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    once = score_intervals(true, said, 3)["accuracy"]
    units = np.repeat(np.arange(60), 10)
    tenfold = score_intervals(np.repeat(true, 10), np.repeat(said, 10), 3, units)["accuracy"]
    alone = score_intervals(np.repeat(true, 10), np.repeat(said, 10), 3)["accuracy"]
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.1)
    assert alone.high - alone.low == pytest.approx((once.high - once.low) / np.sqrt(10), rel=0.15)


def test_the_mean_over_folds_is_what_is_given_an_interval() -> None:
    true = np.array([0, 0, 1, 1, 0, 1])
    said = np.array([[0, 1, -1, -1, -1, 1], [-1, -1, 1, 1, 0, -1]])
    found = score_intervals(true, said, 2)
    assert found["accuracy"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found["accuracy"].low <= found["accuracy"].value <= found["accuracy"].high


def test_answers_that_are_all_right_have_an_interval_all_the_same() -> None:
    found = score_intervals(np.zeros(100, int), np.zeros(100, int), 1)["accuracy"]
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 100))  # Clopper and Pearson's
    of_ten = score_intervals(np.zeros(100, int), np.zeros(100, int), 1, np.arange(100) % 10)["accuracy"]
    assert of_ten.low == pytest.approx(0.025 ** (1 / 10))
    none = score_intervals(np.zeros(100, int), np.ones(100, int), 1)["accuracy"]
    assert (none.low, none.value, none.high) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 100)))


def test_a_class_that_is_never_found_leaves_the_interval_of_what_the_cells_show() -> None:
    """100 of one class all right, 50 of another all taken for no class: every draw's balanced accuracy is a half."""
    true = np.repeat([0, 1], [100, 50])
    found = score_intervals(true, np.where(true == 0, 0, 2), 2)
    first, second = 0.025 ** (1 / 100), 0.025 ** (1 / 50)
    balanced = found["balanced_accuracy"]
    assert balanced.value == 0.5
    assert (balanced.low, balanced.high) == pytest.approx((first / 2, (1 + 1 - second) / 2))
    macro = found["macro_f1"]
    assert macro.low < 0.5 < macro.high < 0.6
    # 3.6 cells of the second class taken for the first, as many as its limit leaves open
    assert macro.low == pytest.approx(2 * first * 100 / (200 + (1 - second) * 50) / 2)


def test_patients_who_are_answered_alike_leave_an_interval_that_narrows_with_their_number() -> None:
    true, said = np.zeros(200, int), np.where(np.arange(200) % 10 == 0, 1, 0)
    reach = []
    for patients in (5, 20):
        found = score_intervals(true, said, 2, np.arange(200) // (200 // patients))["accuracy"]
        t = 0.025 ** (1 / patients)
        assert (found.low, found.value, found.high) == pytest.approx((t * 0.9, 0.9, 1 - t * 0.1))
        reach.append(found.high - found.low)
    assert reach[1] < reach[0] < 0.7


def test_nothing_is_known_of_one_patient_and_of_no_cell() -> None:
    found = score_intervals(np.zeros(9, int), np.arange(9) % 2, 2, np.zeros(9, int))["accuracy"]
    assert (found.low, found.high) == (0, 1)
    assert np.isnan(score_intervals([], [], 2)["accuracy"].low)


def test_the_same_seed_gives_the_same_interval() -> None:
    true, said = np.arange(80) % 3, np.arange(80) % 4
    assert score_intervals(true, said, 3) == score_intervals(true, said, 3)
    assert score_intervals(true, said, 3) != score_intervals(true, said, 3, seed=1)


def simulated(rng: np.random.Generator, patients: int, spread: float) -> tuple[np.ndarray, ...]:
    """Cells of three classes of patients that are harder and easier: true, predicted, patient."""
    sizes = rng.integers(5, 40, patients)
    units = np.repeat(np.arange(patients), sizes)
    ease = 1 / (1 + np.exp(-(1.2 + spread * rng.normal(size=patients))))[units]
    true = rng.integers(0, 3, len(units))
    right = rng.random(len(units)) < ease
    return true, np.where(right, true, (true + rng.integers(1, 3, len(units))) % 3), units


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "spread"), [(15, 1.0), (40, 1.0), (40, 0.0)])
def test_the_intervals_hold_the_true_value_in_92_to_98_of_100_simulations(patients: int, spread: float) -> None:
    rng = np.random.default_rng(7)
    # the truth of a very large lab; a patient's cells count as in the lab, whatever the share of the patient
    truth = scores_of(confusion(*(of.tolist() for of in simulated(rng, 20_000, spread)[:2]), range(3)))  # type: ignore
    times, held = 400, np.zeros(3)
    for number in range(times):
        true, said, units = simulated(rng, patients, spread)
        found = score_intervals(true, said, 3, units, draws=500, seed=number)
        held += [of.low <= value <= of.high for of, value in zip(found.values(), truth, strict=True)]
    # at 95 of 100, 400 simulations stray by 1.1
    assert ((held / times >= 0.92) & (held / times <= 0.98)).all(), held / times


def test_mcnemars_test_and_holms_correction_are_statsmodels() -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random(60) < 0.8, rng.random(60) < 0.6
        table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
        assert mcnemar(a, b) == pytest.approx(contingency.mcnemar(table, exact=True).pvalue)
        p = rng.random(7) ** 3
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_mcnemars_exact_test_by_hand() -> None:
    # six cells that only the first has right, one that only the second has: 2 (1 + 7) / 2^7
    first = np.array([True] * 6 + [False] + [True] * 5)
    second = np.array([False] * 6 + [True] + [True] * 5)
    assert mcnemar(first, second) == pytest.approx(16 / 128)
    assert mcnemar(first, first) == 1


def test_holm_passes_over_what_is_not_known_and_keeps_the_order() -> None:
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04, 0.03]), [0.03, np.nan, 0.06, 0.06])


def test_two_that_are_equally_good_are_told_apart_in_5_of_100_and_better_ones_mostly() -> None:
    rng = np.random.default_rng(3)
    times, by_patient, by_cell, found = 300, 0, 0, 0
    for number in range(times):
        units = np.repeat(np.arange(30), 20)
        # each patient suits one of the two better, so that cells of a patient say the same
        lean = (0.25 * rng.normal(size=30))[units]
        a, b = rng.random(600) < 0.7 + lean / 2, rng.random(600) < 0.7 - lean / 2
        by_patient += compare(a, b, units, draws=300, seed=number).p < 0.05
        by_cell += compare(a, b, draws=300, seed=number).p < 0.05
        better = rng.random(600) < 0.85 + lean / 2
        found += compare(better, b, units, draws=300, seed=number).p < 0.05
    assert by_patient / times < 0.08
    assert by_cell / times > 0.1
    assert found / times > 0.8


def test_the_difference_of_paired_answers_has_the_interval_of_its_mean() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(500) < 0.8, rng.random(500) < 0.7
    found = compare(a, b)
    gaps = a.astype(float) - b
    spread = 1.96 * gaps.std() / np.sqrt(500)
    assert found.value == pytest.approx(gaps.mean())
    assert (found.low, found.high) == pytest.approx((gaps.mean() - spread, gaps.mean() + spread), abs=0.006)
    from scipy.stats import ttest_rel

    assert found.p_bootstrap == pytest.approx(ttest_rel(a.astype(float), b.astype(float)).pvalue, abs=0.01)


def test_the_same_answers_don_t_differ() -> None:
    found = compare([1, 0, 1], [1, 0, 1])
    assert (found.value, found.p) == (0, 1)
