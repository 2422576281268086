import numpy as np
import pandas as pd
import pytest

from dorl.classification.distances import COLUMNS, drawn_cells, lab_distances, mmd, unlike_all_others


def cloud(count, *, shift=0.0, seed=0, width=6):
    return np.random.default_rng(seed).normal(size=(count, width)) + shift


def pair(table, first, second):
    return table.set_index(["first", "second"]).loc[(first, second)]


def test_labs_alike_are_not_told_apart_and_labs_apart_are():
    table = lab_distances({"a": cloud(200), "b": cloud(300, seed=1), "c": cloud(250, shift=3, seed=2)})
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 3
    alike, apart = pair(table, "a", "b"), pair(table, "a", "c")
    assert alike["cells"] == 200
    assert alike["told_apart"] == pytest.approx(0.5, abs=0.1)
    assert alike["proxy_a"] < 0.4
    assert alike["mmd"] < 0.15
    assert apart["told_apart"] > 0.98
    assert apart["proxy_a"] > 1.9
    assert apart["mmd"] > 0.5


def test_what_was_learnt_by_heart_is_not_counted():
    # more features than cells: a classifier tells the cells that it learnt apart, whatever they are
    table = lab_distances({"a": cloud(40, width=200), "b": cloud(40, seed=1, width=200)})
    assert table["told_apart"][0] == pytest.approx(0.5, abs=0.2)


def test_the_same_seed_gives_the_same_numbers_and_another_draws_anew():
    labs = {"a": cloud(60), "b": cloud(700, shift=0.3, seed=1)}
    pd.testing.assert_frame_equal(lab_distances(labs, seed=3), lab_distances(labs, seed=3))
    assert lab_distances(labs, seed=3)["mmd"][0] != lab_distances(labs, seed=4)["mmd"][0]


def test_of_one_lab_or_of_a_few_cells_nothing_is_said():
    assert lab_distances({"a": cloud(50)}).empty
    table = lab_distances({"a": cloud(50), "b": cloud(5), "c": cloud(50, seed=1)})
    assert table[["first", "second"]].to_numpy().tolist() == [["a", "c"]]
    assert list(lab_distances({}).columns) == list(COLUMNS)


def test_a_feature_that_never_changes_does_no_harm():
    X = np.ones((30, 3))
    assert lab_distances({"a": X, "b": X})["mmd"][0] == 0


def test_mmd_of_single_numbers_is_what_its_definition_says():
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [4.0]])
    within = np.exp(-0.5) + np.exp(-2.0)
    across = np.exp([-2.0, -8.0, -0.5, -4.5]).mean()
    assert mmd(a, b, 0.5) == pytest.approx(np.sqrt(within - 2 * across))


def test_a_lab_unlike_all_others_is_found_where_there_are_others_to_compare():
    labs = {"a": cloud(60), "b": cloud(60, shift=0.3, seed=1), "c": cloud(60, shift=0.5, seed=2)}
    assert unlike_all_others(lab_distances(labs)) == []
    assert unlike_all_others(lab_distances(labs | {"far": cloud(60, shift=5, seed=3)})) == ["far"]
    assert unlike_all_others(lab_distances({"a": cloud(60), "far": cloud(60, shift=5)})) == []


def test_cells_are_drawn_of_each_lab():
    labs = np.array(["a"] * 50 + ["b"] * 3)
    rows = drawn_cells(labs, seed=1, most=10)
    assert rows.tolist() == sorted(rows)
    assert (labs[rows] == "a").sum() == 10
    assert (labs[rows] == "b").sum() == 3
    assert rows.tolist() != drawn_cells(labs, seed=2, most=10).tolist()
