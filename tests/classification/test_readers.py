"""A manual differential beside another one, against published limits and worked numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.odr import ODR, Data, unilinear
from scipy.stats import fisher_exact

from dorl.classification.readers import AGREEMENT, COMPARED, agreement, compared, differing_by_chance, rumke_limits


def _table(rows: list[tuple[str, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sample", "class", "cells"])


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 100, 0, 4), (1, 100, 0, 6), (5, 100, 1, 12), (10, 100, 4, 18), (25, 100, 16, 35), (50, 100, 39, 61)],
)
def test_limits_are_those_of_rumkes_table(count: int, total: int, low: int, high: int) -> None:
    found = rumke_limits(count, total)
    assert (math.floor(100 * found[0]), math.ceil(100 * found[1])) == (low, high)


def test_as_many_shares_differ_by_chance_as_in_simulated_counts() -> None:
    """Two readers of 100 and 200 cells of the same blood, 2,000 times."""
    random, names = np.random.default_rng(0), ["neutrophil", "lymphocyte", "eosinophil"]
    drawn = random.multinomial(100, [0.6, 0.3, 0.1], 2000), random.multinomial(200, [0.6, 0.3, 0.1], 2000)
    limits = {}
    outside = 0
    for ours, manual in zip(*drawn, strict=True):
        for a, b in zip(ours.tolist(), manual.tolist(), strict=True):
            low, high = limits.setdefault(b, rumke_limits(b, 200))
            outside += not low <= a / 100 <= high
    of = [[("", name, n) for name, n in zip(names, cells, strict=True)] for cells in ((60, 30, 10), (120, 60, 20))]
    expected = differing_by_chance(compared(*map(_table, of)))
    assert expected == pytest.approx(outside / 2000, abs=0.03)
    assert 0.3 < expected < 1


def test_classes_are_compared_at_the_level_that_both_name() -> None:
    ours = [("a", "neutrophil_banded", 5), ("a", "neutrophil_segmented", 55), ("a", "lymphocyte", 40)]
    ours += [("a", "erythroblast", 10), ("a", "unlike", 3), ("b", "lymphocyte", 5)]
    manual = [("a", "neutrophil", 140), ("a", "lymphocyte", 60), ("a", "erythroblast", 2)]
    table = compared(_table(ours), _table(manual))
    assert tuple(table) == COMPARED
    assert table["sample"].tolist() == ["a"] * 3
    assert table["class"].tolist() == ["lymphocyte", "neutrophil", "erythroblast"]
    assert table["of"].tolist() == [100, 100, 110]
    assert table["manual_of"].tolist() == [200, 200, 202]
    assert table["within"].tolist() == [False, False, False]
    assert table["p"].iat[1] == pytest.approx(fisher_exact([[60, 40], [140, 60]]).pvalue)
    ours = [("a", "lymphocyte", 31), ("a", "monocyte", 69)]
    assert compared(_table(ours), _table([(*row[:2], 2 * row[2]) for row in ours]))["within"].all()


def test_agreement_of_samples_is_told_by_class() -> None:
    counts = [(60, 58), (70, 75), (80, 78), (20, 24), (10, 30)]
    tables = [
        _table(
            [(str(i), "neutrophil", pair[k]) for i, pair in enumerate(counts)]
            + [(str(i), "lymphocyte", 100 - pair[k]) for i, pair in enumerate(counts)]
        )
        for k in (0, 1)
    ]
    found = agreement(compared(*tables)).set_index("class").loc["neutrophil"]
    assert tuple(agreement(compared(*tables))) == AGREEMENT
    ours, manual = (np.array([pair[k] for pair in counts], float) for k in (0, 1))
    assert found["samples"] == 5
    assert found["mean_difference"] == pytest.approx((ours - manual).mean())
    assert found["sd_difference"] == pytest.approx((ours - manual).std(ddof=1))
    line = ODR(Data(manual, ours), unilinear, beta0=[1, 0]).run().beta
    assert [found["slope"], found["intercept"]] == pytest.approx(list(line), rel=1e-4)
    # outside 27 to 97 %: the fourth by both, the fifth by ours alone
    assert found["abnormal"] == 1
    assert (found["sensitivity"], found["specificity"], found["overall"]) == (1, 0.75, 0.8)


def test_of_few_samples_no_differences_are_told() -> None:
    one = _table([("a", "lymphocyte", 30), ("a", "monocyte", 70)])
    found = agreement(compared(one, one))
    assert found["within"].tolist() == [1, 1]
    assert found[["mean_difference", "slope"]].isna().all(axis=None)
