"""Differential counts against published and computed intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from dorl.classification.differential import (
    APART,
    CELLS_ANOTHER,
    COLUMNS,
    LEUKOCYTE,
    UNCLASSIFIED,
    UNLIKE,
    differential,
    with_errors,
)

CLASSES = ["erythroblast", "lymphocyte", "neutrophil"]
#: what a classifier says of 100 held-out cells of each
CONFUSION = np.array([[90, 10, 0], [5, 90, 5], [0, 10, 90]])


def test_percentages_are_of_leukocytes_and_erythroblasts_are_per_100_of_them() -> None:
    names = ["erythroblast"] * 50 + ["neutrophil"] * 40 + ["lymphocyte"] * 10
    table = differential(names, CLASSES)
    assert tuple(table) == COLUMNS
    assert table["class"].tolist() == ["lymphocyte", "neutrophil", "erythroblast"]
    assert table["group"].tolist() == [LEUKOCYTE, LEUKOCYTE, APART]
    assert table["cells"].tolist() == [10, 40, 50]
    assert table["share"].tolist() == pytest.approx([0.2, 0.8, 1.0])
    for row, (count, trials) in enumerate([(10, 50), (40, 50)]):
        wilson = binomtest(count, trials).proportion_ci(method="wilson")
        assert table.loc[row, ["low", "high"]].tolist() == pytest.approx([wilson.low, wilson.high])
    wilson = binomtest(50, 100).proportion_ci(method="wilson")
    odds = [limit / (1 - limit) for limit in (wilson.low, wilson.high)]
    assert table.loc[2, ["low", "high"]].tolist() == pytest.approx(odds)
    assert table[["low_with_errors", "high_with_errors"]].isna().all(axis=None)


def test_smudge_cells_unlike_and_unclassified_ones_stand_apart_and_a_node_has_its_line() -> None:
    names = ["neutrophil"] * 3 + ["granulocyte", "smudge_cell", UNLIKE, UNLIKE, UNCLASSIFIED]
    table = differential(names, [*CLASSES, "smudge_cell"])
    apart = [*("erythroblast", "smudge_cell"), UNCLASSIFIED, UNLIKE]
    assert table["class"].tolist() == ["lymphocyte", "neutrophil", "granulocyte", *apart]
    assert table["cells"].tolist() == [0, 3, 1, 0, 1, 1, 2]
    assert table["share"].tolist() == pytest.approx([0, 0.75, 0.25, 0, 0.25, 0.25, 0.5])


def test_a_level_and_more_cells_narrow_the_interval() -> None:
    names = ["lymphocyte", "neutrophil"]
    few, many = (differential(names * n, names) for n in (5, 500))
    wide, narrow = (table["high"].iat[0] - table["low"].iat[0] for table in (few, many))
    assert narrow < wide / 5
    less = differential(names * 5, names, level=0.5)
    assert less["high"].iat[0] - less["low"].iat[0] < wide


def test_without_leukocytes_there_is_no_share() -> None:
    table = differential(["erythroblast"] * 3, CLASSES, confusion=CONFUSION)
    assert table["cells"].tolist() == [0, 0, 3]
    assert table[["share", "low", "high", "low_with_errors"]].isna().all(axis=None)
    assert differential([], []).empty


def test_errors_widen_the_interval_and_another_lab_more() -> None:
    names = ["neutrophil"] * 120 + ["lymphocyte"] * 60 + ["erythroblast"] * 10
    own, other = (differential(names, CLASSES, confusion=CONFUSION, another_lab=other) for other in (False, True))
    for table in (own, other):
        assert (table["low_with_errors"] <= table["low"]).all()
        assert (table["high_with_errors"] >= table["high"]).all()
    reach = [(table["high_with_errors"] - table["low_with_errors"])[:2].mean() for table in (own, other)]
    assert (own["high"] - own["low"])[:2].mean() < reach[0] < reach[1]
    limits = binomtest(2 * CELLS_ANOTHER // 3, CELLS_ANOTHER).proportion_ci(method="wilson")
    found = other.loc[1, ["low_with_errors", "high_with_errors"]].tolist()
    assert found == pytest.approx([limits.low, limits.high], abs=1e-6)


def test_a_classifier_that_never_errs_leaves_counting_alone() -> None:
    names = ["neutrophil"] * 60 + ["lymphocyte"] * 40
    drawn, most = with_errors(names, CLASSES, CLASSES, 100_000 * np.eye(3, dtype=int))
    assert np.array_equal(drawn, most)
    assert drawn.shape == (2000, 3)
    assert drawn[:, 2].mean() == pytest.approx(0.6, abs=0.005)
    assert drawn[:, 2].std() == pytest.approx(np.sqrt(0.6 * 0.4 / 100), rel=0.1)


def test_cells_of_a_slide_belong_together() -> None:
    names = ["neutrophil"] * 50 + ["lymphocyte"] * 50
    apart, _ = with_errors(names, CLASSES, CLASSES, CONFUSION, slides=["a", "b"] * 50)
    slides = ["a"] * 25 + ["b"] * 25 + ["c"] * 25 + ["d"] * 25
    together, _ = with_errors(names, CLASSES, CLASSES, CONFUSION, slides=slides)
    assert together[:, 2].std() > 2 * apart[:, 2].std()


def test_an_undecided_cell_may_be_of_any_class_below_its_node() -> None:
    """60 neutrophils, 10 eosinophils, 20 granulocytes, 10 lymphocytes: 60 to 80 % are neutrophils, 10 lymphocytes."""
    classes = ["eosinophil", "erythroblast", "lymphocyte", "neutrophil"]
    names = ["neutrophil"] * 60 + ["eosinophil"] * 10 + ["granulocyte"] * 20 + ["lymphocyte"] * 10
    never_wrong = 1_000_000 * np.eye(4, dtype=int)
    table = differential(names, classes, confusion=never_wrong).set_index("class")
    for name, least, most in (("neutrophil", 60, 80), ("eosinophil", 10, 30), ("lymphocyte", 10, 10)):
        ends = [binomtest(count, 100).proportion_ci(method="wilson") for count in (least, most)]
        assert table.loc[name, ["low", "high"]].tolist() == pytest.approx([ends[0].low, ends[1].high])
        assert table.at[name, "low_with_errors"] <= table.at[name, "low"]
        assert table.at[name, "high_with_errors"] >= table.at[name, "high"]


def test_an_unclassified_cell_may_be_of_any_class_and_a_leukocyte_or_none() -> None:
    names = ["neutrophil"] * 60 + ["lymphocyte"] * 20 + ["erythroblast"] * 10 + [UNCLASSIFIED] * 20
    table = differential(names, CLASSES, confusion=CONFUSION).set_index("class")
    ends = [binomtest(count, 100).proportion_ci(method="wilson") for count in (60, 80)]
    assert table.loc["neutrophil", ["low", "high"]].tolist() == pytest.approx([ends[0].low, ends[1].high])
    low, high = (binomtest(n, of).proportion_ci(method="wilson") for n, of in ((10, 110), (30, 110)))
    apart = [low.low / (1 - low.low), high.high / (1 - high.high)]
    assert table.loc["erythroblast", ["low", "high"]].tolist() == pytest.approx(apart)
    assert table.at["neutrophil", "high_with_errors"] > 0.8


def test_intervals_hold_the_truth_where_unsure_cells_of_one_class_are_left_undecided() -> None:
    """A classifier that never errs but leaves four of ten neutrophils, and no eosinophil, at their node."""
    random, classes = np.random.default_rng(1), ["eosinophil", "lymphocyte", "neutrophil"]
    truth, held = dict(zip(classes, (0.1, 0.3, 0.6), strict=True)), []
    for seed in range(20):
        true = random.choice(classes, 200, p=list(truth.values()))
        unsure = (true == "neutrophil") & (random.random(200) < 0.4)
        said = np.where(unsure, "granulocyte", true)
        table = differential(said, classes, confusion=1000 * np.eye(3, dtype=int), seed=seed).set_index("class")
        for name, share in truth.items():
            row = table.loc[name]
            held += [row["low"] <= share <= row["high"], row["low_with_errors"] <= share <= row["high_with_errors"]]
    assert np.mean(held) >= 0.95


def test_the_interval_with_errors_holds_the_truth_in_simulated_samples() -> None:
    """200 samples by the very errors of the held-out cells: 95 % of the intervals hold, give or take their noise."""
    random, mix = np.random.default_rng(0), np.array([0.05, 0.35, 0.6])
    told = CONFUSION / CONFUSION.sum(1, keepdims=True)
    truth = {name: share / mix[1:].sum() for name, share in zip(CLASSES, mix, strict=True)}
    wilson, held = [], []
    for seed in range(60):
        true = random.choice(3, 200, p=mix)
        said = [CLASSES[random.choice(3, p=told[one])] for one in true]
        table = differential(said, CLASSES, confusion=CONFUSION, seed=seed).set_index("class")
        for name, share in truth.items():
            row = table.loc[name]
            wilson.append(row["low"] <= share <= row["high"])
            held.append(row["low_with_errors"] <= share <= row["high_with_errors"])
    assert np.mean(held) >= 0.93
    assert np.mean(wilson) < np.mean(held)
