"""Intervals, tests and agreement beside scikit-learn's, scipy's and statsmodels' of the same thing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logit
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from dorl.classification.bootstrap import compare, score_intervals
from dorl.classification.comparison import Comparison
from dorl.classification.metrics import scores
from dorl.classification.readers import agreement, compared, rumke_limits

NAMES = np.array(["neutrophil", "lymphocyte", "monocyte"], object)


def of_patients(seed: int = 0, patients: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two classifiers' right answers about cells of patients who are easier and harder, and the patients."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(patients), rng.integers(5, 30, patients))
    ease = rng.normal(scale=0.12, size=patients)[units]
    return rng.random(len(units)) < 0.8 + ease, rng.random(len(units)) < 0.7 - ease, units


def clustered(values: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Mean, and its standard error where cells of a unit are alike, by statsmodels' cluster-robust regression."""
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    options = {"groups": units, "use_correction": False}
    found = api.OLS(values.astype(float), np.ones(len(values))).fit(cov_type="cluster", cov_kwds=options)
    return float(found.params[0]), float(found.bse[0])


def test_the_interval_by_patients_has_the_cluster_robust_standard_error() -> None:
    right, _, units = of_patients()
    found = score_intervals(np.zeros(len(right), int), np.where(right, 0, 1), 1, units)["accuracy"]
    value, error = clustered(right, units)
    number = len(np.unique(units))
    reach = stats.t.ppf(0.975, number - 1) * np.sqrt(number / (number - 1))
    assert found.value == pytest.approx(value)
    half = (logit(found.high) - logit(found.low)) / 2
    # of 2,000 draws the deviation strays by 1.6 %
    assert half * value * (1 - value) / reach == pytest.approx(error, rel=0.06)
    # cells taken for independent would give half of it
    assert np.sqrt(value * (1 - value) / len(right)) < 0.8 * error


def test_the_macro_f1_s_deviation_is_that_of_scipys_bootstrap() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 150)
    said = np.where(rng.random(150) < 0.75, true, rng.integers(0, 3, 150))
    found = score_intervals(true, said, 3)["macro_f1"]

    def macro(a: np.ndarray, b: np.ndarray) -> float:
        return float(f1_score(a, b, average="macro", labels=[0, 1, 2]))

    same = stats.bootstrap(
        (true, said), macro, paired=True, vectorized=False, n_resamples=600, random_state=1, method="basic"
    )
    half = (logit(found.high) - logit(found.low)) / 2
    spread = half * found.value * (1 - found.value) / (stats.t.ppf(0.975, 149) * np.sqrt(150 / 149))
    assert found.value == pytest.approx(macro(true, said))
    assert spread == pytest.approx(same.standard_error, rel=0.1)


def test_two_classifiers_on_patients_differ_as_in_the_cluster_robust_test() -> None:
    first, second, units = of_patients()
    found = compare(first, second, units)
    value, error = clustered(first.astype(float) - second, units)
    number = len(np.unique(units))
    reach = stats.t.ppf(0.975, number - 1) * np.sqrt(number / (number - 1)) * error
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == pytest.approx((value - reach, value + reach), abs=0.06 * reach)
    corrected = error * np.sqrt(number / (number - 1))
    assert found.p_bootstrap == pytest.approx(2 * stats.t.sf(value / corrected, number - 1), rel=0.6, abs=1e-4)


@pytest.mark.parametrize(("count", "total"), [(0, 30), (3, 30), (15, 30), (30, 30), (7, 200)])
def test_rumkes_limits_are_statsmodels_exact_ones(count: int, total: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    wanted = proportion.proportion_confint(count, total, alpha=0.05, method="beta")
    assert rumke_limits(count, total) == pytest.approx(wanted)
    if count in (0, total):  # where no answer is right, or all are, so is every draw's
        found = score_intervals(np.zeros(total, int), np.full(total, int(count == 0)), 1)["accuracy"]
        assert (found.low, found.high) == pytest.approx(wanted)


def test_the_scores_of_a_pair_of_labs_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    true, said = NAMES[rng.integers(0, 3, 90)], NAMES[rng.integers(0, 3, 90)]
    fine = np.where(said == "neutrophil", "neutrophil_banded", said).astype(object)
    pair = Comparison("a", "b", np.unique(fine.astype(str)).astype(object), true)
    found, counts = pair.tree(np.arange(90), fine)
    wanted = {
        "accuracy": accuracy_score(true.astype(str), said.astype(str)),
        "balanced_accuracy": balanced_accuracy_score(true.astype(str), said.astype(str)),
        "macro_f1": f1_score(true.astype(str), said.astype(str), average="macro"),
    }
    assert found == pytest.approx(wanted)
    assert counts.sum() == 90
    assert scores(true, said, tuple(NAMES)) == pytest.approx(wanted)


def test_the_agreement_of_two_readers_has_scipys_correlation_and_paired_t() -> None:
    rng = np.random.default_rng(0)
    shares = rng.integers(30, 90, 12)
    noisy = np.clip(shares + rng.integers(-8, 9, 12), 1, 99)

    def table(counts: np.ndarray) -> pd.DataFrame:
        rows = [
            (str(i), name, n) for i, k in enumerate(counts) for name, n in (("neutrophil", k), ("monocyte", 100 - k))
        ]
        return pd.DataFrame(rows, columns=["sample", "class", "cells"])

    found = agreement(compared(table(noisy), table(shares))).set_index("class").loc["neutrophil"]
    assert found["correlation"] == pytest.approx(stats.pearsonr(noisy, shares).statistic)
    paired = stats.ttest_rel(noisy, shares)
    error = found["sd_difference"] / np.sqrt(12)
    assert found["mean_difference"] / error == pytest.approx(paired.statistic)
