"""Copies of a cell, and a patient's cells, stay on one side; without these the folds are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from dorl.classification import LabFeatures, cross_lab
from dorl.classification.folds import (
    beside,
    check_split,
    drawn_rows,
    lab_folds,
    rows_to_test,
    split_fold,
    stratified,
    without_copies,
)
from dorl.errors import InputError

Y = np.array(["a", "b"] * 15)


def test_of_many_cells_each_class_gives_its_share_and_rare_ones_stay() -> None:
    y = np.array(["common"] * 9000 + ["second"] * 970 + ["rare"] * 30)
    rows = drawn_rows(y, 1000, seed=1)
    assert (np.diff(rows) > 0).all()
    names, counts = np.unique(y[rows], return_counts=True)
    assert names.tolist() == ["common", "rare", "second"]
    assert counts.sum() == 1000
    assert counts[1] >= 20
    assert counts[2] == pytest.approx(110, abs=40)
    assert drawn_rows(y, 1000, seed=1).tolist() == rows.tolist() != drawn_rows(y, 1000, seed=2).tolist()
    assert drawn_rows(y, 10_000).tolist() == list(range(10_000))


def test_without_copies_the_folds_are_those_of_before() -> None:
    plain = list(StratifiedKFold(5, shuffle=True, random_state=3).split(Y, Y))
    for groups in (None, np.arange(30), np.arange(30)[::-1] * 7):
        for (learn, held), (own_learn, own_held) in zip(plain, stratified(Y, groups, folds=5, seed=3), strict=True):
            assert learn.tolist() == own_learn.tolist()
            assert held.tolist() == own_held.tolist()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(copies=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=8), seed=st.integers(0, 9))
def test_copies_lie_in_one_fold(copies: list[tuple[int, int]], seed: int) -> None:
    groups = np.arange(30)
    for first, second in copies:
        groups[groups == groups[second]] = groups[first]
    parts = stratified(Y, groups, folds=4, seed=seed)
    assert sorted(np.concatenate([held for _, held in parts]).tolist()) == list(range(30))
    assert all(not set(groups[learn]) & set(groups[held]) for learn, held in parts)


def test_too_few_different_cells_are_told() -> None:
    with pytest.raises(InputError, match="one: without copies there are fewer cells than 3 folds"):
        stratified(Y, np.arange(30) % 2, folds=3, seed=0, name="one")


def test_small_classes_stay_together_too_and_it_is_noted() -> None:
    notes: list[str] = []
    groups = np.array([0, 0, 2, 3, 4, 5])
    parts = lab_folds("one", np.array(["a", "b", "a", "b", "a", "b"], object), groups, 4, 0, notes)
    assert all(not set(groups[learn]) & set(groups[held]) for learn, held in parts)
    assert "one: 1 cell is a copy of others: in the same fold." in notes


PATIENTS = np.array([f"p{i // 3}" for i in range(30)], object)


def test_a_patient_lies_in_one_fold_and_it_is_noted() -> None:
    notes: list[str] = []
    groups = np.arange(30)
    groups[29] = 0  # a copy joins two patients
    for seed in range(5):
        for learn, held in lab_folds("one", Y.astype(object), groups, 4, seed, notes, PATIENTS):
            assert not set(PATIENTS[learn]) & set(PATIENTS[held])
            assert (0 in held) == (29 in held)
    assert "one: 10 patients: each lies in one fold." in notes


def test_cells_without_a_patient_lie_anywhere() -> None:
    patients = np.where(np.arange(30) < 6, PATIENTS, None)
    patients[10], patients[11] = "", float("nan")
    numbers = beside(None, patients, 5)
    assert numbers is not None
    assert [len(set(numbers[start : start + 3])) for start in (0, 3)] == [1, 1]
    assert len(set(numbers)) == 2 + 24
    assert beside(None, np.full(30, None), 5) is None


def test_as_many_patients_as_folds_are_enough() -> None:
    patients = np.array([f"p{i % 5}" for i in range(30)], object)
    numbers = beside(np.arange(30), patients, 5)
    assert numbers is not None
    assert numbers.tolist() == [i % 5 for i in range(30)]


def test_few_patients_are_noted_and_only_copies_stay_together() -> None:
    notes: list[str] = []
    groups, patients = np.arange(30), np.array([f"p{i % 3}" for i in range(30)], object)
    assert beside(groups, patients, 5) is groups
    parts = lab_folds("one", Y.astype(object), groups, 5, 0, notes, patients)
    assert all(len(held) == 6 for _, held in parts)
    assert notes == ["one: 3 patients: too few for 5 folds, so that a patient's cells may lie in several."]


def test_labels_that_belong_to_patients_alone_cannot_be_learnt_from_them() -> None:
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(20, 8))
    X = np.repeat(looks, 4, axis=0) + 0.01 * rng.normal(size=(80, 8))  # four near-copies a patient
    y = np.repeat(np.array(["neutrophil", "monocyte"] * 10, object), 4)
    patients = np.repeat(np.array([f"p{i}" for i in range(20)], object), 4)
    accuracy = [
        cross_lab({"one": LabFeatures(X, y, patients=of)}, classifiers=["RF"], folds=5).results["accuracy"].mean()
        for of in (None, patients)
    ]
    assert accuracy[0] > 0.95
    assert accuracy[1] < 0.75


def test_copies_of_another_labs_cells_are_not_tested() -> None:
    notes: list[str] = []
    assert without_copies("a", "b", np.array([0, 1]), np.array([5, 1, 7]), 3, notes).tolist() == [0, 2]
    assert notes == ["a → b: 1 cell of b is a copy of cells of a: not tested."]
    assert without_copies("a", "a", np.array([0, 1]), np.array([0, 1]), 2, notes).tolist() == [0, 1]


def made_up(groups: np.ndarray, seed: int) -> LabFeatures:
    y = np.array(["neutrophil", "monocyte"] * (len(groups) // 2), object)
    X = np.random.default_rng(seed).normal(size=(len(groups), 4)) + (y == "monocyte")[:, None]
    return LabFeatures(X, y, groups)


def test_the_protocol_counts_no_copy_of_a_learnt_cell() -> None:
    one, two = made_up(np.arange(20), 0), made_up(np.r_[3, 4, np.arange(22, 40)], 1)
    found = cross_lab({"one": one, "two": two}, classifiers=["LR"], trains=["one"], explain=["LR"])
    cells = found.pairs.set_index("test")["cells"]
    assert cells.to_dict() == {"one": 20, "two": 18}
    assert any("2 cells of two are copies" in note for note in found.notes)
    assert (found.mistakes.loc[found.mistakes["test"] == "two", "cell"] >= 2).all()


def test_a_lab_of_copies_alone_is_left_out_with_a_note() -> None:
    one = made_up(np.arange(20), 0)
    found = cross_lab({"one": one, "two": one}, classifiers=["LR"], trains=["one"])
    assert found.pairs["test"].tolist() == ["one"]
    assert any("20 cells of two are copies" in note for note in found.notes)


def test_patients_of_copies_are_not_tested_either() -> None:
    notes: list[str] = []
    patients = np.array(["a", "a", "b", None, None], object)
    rows = without_copies("mine", "lab", np.array([7]), np.array([7, 1, 2, 3, 4]), 5, notes, patients)
    assert rows.tolist() == [2, 3, 4]
    assert notes == [
        "mine → lab: 1 cell of lab is a copy of cells of mine: not tested.",
        "mine → lab: 1 more cell is of patients of such copies: not tested.",
    ]
    assert without_copies("mine", "lab", np.array([7]), np.array([7, 1]), 2, [], None).tolist() == [1]


def test_a_labs_own_split_is_one_fold_and_tells_of_patients_on_both_sides() -> None:
    y = np.array(["monocyte", "neutrophil", "monocyte", "neutrophil"], object)
    notes: list[str] = []
    split = np.array(["train", None, "Test ", "val"], object)
    ((learn, held),) = split_fold("one", y, split, notes, np.array(["a", "b", "a", None], object))
    assert (learn.tolist(), held.tolist()) == ([0, 1, 3], [2])
    val = (
        "one: its split calls 1 cell 'val': learnt from, since only what it calls test is held out. Take them out of "
        "the manifest if they shall not be."
    )
    assert notes == ["one: 1 patient stands on both sides of its split: scores on it may be too high.", val]
    assert rows_to_test(split, 4).tolist() == [2]
    notes.clear()
    ((learn, held),) = split_fold("one", y, split, notes, groups=np.array([5, 6, 5, 7]))
    assert (learn.tolist(), held.tolist()) == ([1, 3], [2])
    assert notes == ["one: 1 image is a copy of images that its split tests: not learnt from.", val]
    assert rows_to_test(None, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("split", [None, [None] * 4, ["test"] * 4, ["train", "test", "train", "test"]])
def test_a_split_that_leaves_nothing_to_test_or_to_learn_is_refused(split: list[str | None] | None) -> None:
    y = np.array(["monocyte", "neutrophil", "monocyte", "neutrophil"], object)
    with pytest.raises(InputError, match="one: its column split leaves"):
        check_split("one", y, None if split is None else np.array(split, object))
