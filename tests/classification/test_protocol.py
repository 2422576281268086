import warnings

import numpy as np
import pandas as pd
import pytest

from dorl.classification import COLUMNS, LabFeatures, ProtocolResult, cross_lab
from dorl.classification.protocol import MISTAKES
from dorl.errors import InputError

from .made_up import fine_and_coarse, lab

FAST = ["LR", "SVM (linear)"]


@pytest.fixture(scope="module")
def result():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return cross_lab(fine_and_coarse(), classifiers=FAST)


def accuracy(frame, train, test):
    chosen = frame[(frame["train"] == train) & (frame["test"] == test) & (frame["classifier"] == "LR")]
    return chosen["accuracy"].mean()


def test_columns_and_rows_are_those_agreed_on(result):
    wanted = ["train", "test", "method", "classifier", "fold", "accuracy", "balanced_accuracy", "macro_f1"]
    assert list(result.results.columns) == list(result.results_flat.columns) == list(COLUMNS) == wanted
    assert len(result.results) == len(result.results_flat) == 2 * 2 * len(FAST) * 5
    assert set(result.results["method"]) == {"DoRL"}


def test_same_seed_same_numbers_other_seed_other_folds(result):
    again = cross_lab(fine_and_coarse(), classifiers=FAST)
    pd.testing.assert_frame_equal(result.results, again.results)
    pd.testing.assert_frame_equal(result.results_flat, again.results_flat)
    other = cross_lab(fine_and_coarse(), classifiers=FAST, seed=1)
    assert not result.results.equals(other.results)


def test_a_banded_neutrophil_is_right_for_neutrophil_in_the_tree_and_wrong_in_the_flat_comparison():
    labs = {
        "banded": lab({"neutrophil_banded": 30, "monocyte": 30}),
        "coarse": lab({"neutrophil": 30, "monocyte": 30}, seed=1),
    }
    found = cross_lab(labs, classifiers=["LR"], trains=["banded"], tests=["coarse"])
    assert accuracy(found.results, "banded", "coarse") > 0.95
    assert accuracy(found.results_flat, "banded", "coarse") == pytest.approx(0.5, abs=0.05)


def test_cells_without_a_counterpart_leave_the_tree_comparison_and_stay_in_the_flat_one(result):
    pair = result.pairs.set_index(["train", "test"]).loc[("fine", "coarse")]
    assert (pair["cells"], pair["left_out"]) == (40, 1)
    assert set(pair["classes"]) == {"neutrophil", "monocyte"}
    assert any("fine → coarse" in note and "basophil" in note for note in result.notes)
    classes, counts = result.confusions["fine", "coarse", "LR"]
    assert counts.shape == (len(classes), len(classes) + 1)
    # five folds were asked, and each cell counts once
    assert counts.sum() == pytest.approx(40)
    true = result.answers["fine", "coarse", "DoRL", "LR"].true
    assert counts.sum(axis=1).tolist() == pytest.approx(np.bincount(true[true >= 0]).tolist())


def test_every_cell_of_the_own_lab_is_tested_once(result):
    assert result.confusions["fine", "fine", "LR"][1].sum() == 75


def test_a_single_cell_of_a_class_is_kept_and_told(result):
    assert any("coarse" in note and "basophil has a single cell" in note for note in result.notes)
    assert result.confusions["coarse", "coarse", "LR"][1].sum() == 41


def test_all_classifiers_bear_a_fold_that_lacks_a_class():
    labs = {"rare": lab({"neutrophil": 12, "monocyte": 12, "basophil": 1})}
    found = cross_lab(labs)
    assert len(found.results) == 6 * 5
    assert found.results["accuracy"].between(0, 1).all()


def test_a_fold_with_one_class_left_to_learn_from_predicts_that_class():
    found = cross_lab({"two": lab({"neutrophil": 12, "basophil": 1})}, classifiers=["SVM (poly)", "LR"])
    assert found.results["accuracy"].min() == pytest.approx(2 / 3)


def test_classes_all_smaller_than_the_folds_fall_back_to_plain_folds():
    found = cross_lab({"tiny": lab({"neutrophil": 3, "monocyte": 3, "eosinophil": 3})}, classifiers=["LR"])
    assert len(found.results) == 5
    assert any("not stratified" in note for note in found.notes)


def test_unlabelled_cells_are_left_out():
    labs = fine_and_coarse()
    labs["coarse"].y[:2] = None, np.nan
    found = cross_lab(labs, classifiers=["LR"])
    assert any("coarse: 2 unlabelled" in note for note in found.notes)


def test_unseen_labs_one_call_each_then_joined():
    labs = fine_and_coarse()
    parts = [cross_lab(labs, classifiers=["LR"], tests=[name], own=False) for name in labs]
    joined = ProtocolResult.concat(parts)
    pairs = set(zip(joined.results["train"], joined.results["test"], strict=True))
    assert pairs == {("fine", "coarse"), ("coarse", "fine")}
    assert len(joined.pairs) == len(joined.confusions) == 2


def test_labs_that_share_no_class_give_nan_and_no_crash():
    labs = {"a": lab({"neutrophil": 10, "monocyte": 10}), "b": lab({"eosinophil": 10, "basophil": 10})}
    found = cross_lab(labs, classifiers=["LR"], trains=["a"])
    apart = found.results[found.results["test"] == "b"]
    assert apart["accuracy"].isna().all()
    assert (found.results_flat[found.results_flat["test"] == "b"]["accuracy"] == 0).all()


@pytest.mark.parametrize(
    ("labs", "message"),
    [
        ({"small": lab({"neutrophil": 2, "monocyte": 2})}, "small: 4 labelled cells are too few for 5 folds"),
        ({"one": lab({"neutrophil": 20})}, "one: all cells are neutrophil"),
        ({"bare": LabFeatures(np.zeros((9, 3)), np.array([None] * 9))}, "bare: no cell has a label"),
        ({"nan": LabFeatures(np.full((9, 3), np.nan), np.array(["monocyte"] * 9))}, "nan: features hold NaN"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(labs, message):
    with pytest.raises(InputError, match=message) as caught:
        cross_lab(labs)
    assert "\n" not in str(caught.value)


def test_labs_of_different_width_are_told():
    labs = {
        "a": lab({"neutrophil": 9, "monocyte": 9}),
        "b": LabFeatures(np.zeros((9, 2)), np.array(["monocyte"] * 9)),
    }
    with pytest.raises(InputError, match=r"a 3, b 2"):
        cross_lab(labs)


def test_one_label_a_row():
    with pytest.raises(InputError, match="one label a row"):
        LabFeatures(np.zeros((3, 2)), np.array(["monocyte"]))


def test_mistakes_are_listed_with_what_the_classifier_gave_to_its_answer():
    classes = {"neutrophil_banded": 30, "neutrophil_segmented": 30, "monocyte": 30}
    labs = {"one": lab(classes), "other": lab(classes, shift=0.3, seed=1), "coarse": lab({"neutrophil": 30}, seed=2)}
    found = cross_lab(labs, classifiers=["LR", "RF"], folds=3, trains=["one"], explain=["LR"])
    wrong = found.mistakes
    assert list(wrong.columns) == list(MISTAKES)
    assert set(wrong["classifier"]) == {"LR"}
    for (train, test), part in wrong.groupby(["train", "test"]):
        classes, counts = found.confusions[train, test, "LR"]
        asked = 1 if train == test else 3
        assert len(part) == pytest.approx(asked * (counts.sum() - np.trace(counts)))
    assert (wrong["true"] == labs["other"].y[wrong["cell"].to_numpy(int)])[wrong["test"] == "other"].all()
    assert set(wrong["test"]) == {"one", "other"}  # a banded neutrophil is a right answer for "neutrophil"
    assert wrong["probability"].between(1 / 3, 1).all()
    assert cross_lab(labs, classifiers=["LR"], folds=3, trains=["one"]).mistakes.empty


def test_of_a_pair_compared_twice_the_first_matrix_stays_and_all_mistakes():
    classes = {"neutrophil_banded": 20, "neutrophil_segmented": 20}
    labs = {"a": lab(classes), "b": lab(classes, seed=1)}
    parts = [cross_lab(labs, method=m, classifiers=["LR"], seed=s, explain=["LR"]) for s, m in enumerate("xy")]
    joined = ProtocolResult.concat(parts)
    assert joined.confusions["a", "b", "LR"] is parts[0].confusions["a", "b", "LR"]
    assert len(joined.mistakes) == sum(len(part.mistakes) for part in parts) > 0


def test_with_their_own_split_labs_are_learnt_and_tested_once():
    one, other = lab({"neutrophil": 30, "monocyte": 30}), lab({"neutrophil": 20, "monocyte": 20}, seed=1)
    split = np.array(["test", "train", "train"] * 20, object)
    labs = {
        "one": LabFeatures(one.X, one.y, splits=split),
        "other": LabFeatures(other.X, other.y, splits=np.array(["test"] * 10 + ["train"] * 30, object)),
    }
    found = cross_lab(labs, classifiers=["LR"], split=True, trains=["one"], explain=["LR"])
    assert found.results["fold"].tolist() == [0, 0]
    assert found.pairs.set_index("test")["cells"].to_dict() == {"one": 20, "other": 10}
    assert found.confusions["one", "one", "LR"][1].sum() == 20
    assert found.confusions["one", "other", "LR"][1].sum() == 10
    own = found.answers["one", "one", "DoRL", "LR"].compared()
    assert len(own.true) == 20
    np.testing.assert_allclose(own.probabilities.sum(axis=1), 1, atol=1e-6)
    labs["one"].splits[1] = "val"
    labs["other"].splits = np.array(["train"] * 40, object)
    told = cross_lab(labs, classifiers=["LR"], split=True, trains=["one"]).notes
    assert any(note.startswith("one: its split calls 1 cell 'val': learnt from") for note in told)
    assert any(note.startswith("other: its split calls no cell test: all its cells are tested") for note in told)
    labs["other"].splits = None
    whole = cross_lab(labs, classifiers=["LR"], split=True, trains=["one"])
    assert whole.confusions["one", "other", "LR"][1].sum() == 40


def test_of_a_large_lab_some_cells_are_drawn_and_a_note_says_so(monkeypatch):
    monkeypatch.setattr("dorl.classification.protocol.MAX_CELLS", 60)
    labs = {"large": lab({"neutrophil": 90, "monocyte": 60}), "small": lab({"neutrophil": 25, "monocyte": 25}, seed=1)}
    labs["large"].X[::7] = 50  # cells that nothing can be right about
    found = cross_lab(labs, classifiers=["LR"], explain=["LR"])
    assert any("large: 60 of its 150 labelled cells are drawn by the seed" in note for note in found.notes)
    assert not any("small" in note and "drawn" in note for note in found.notes)
    pairs = found.pairs.set_index(["train", "test"])["cells"]
    assert pairs.to_dict() == {
        ("large", "large"): 60,
        ("large", "small"): 50,
        ("small", "large"): 60,
        ("small", "small"): 50,
    }
    wrong = found.mistakes[found.mistakes["test"] == "large"]
    assert len(wrong)
    for cell, true in zip(wrong["cell"], wrong["true"], strict=True):  # by its number among all of the lab
        assert labs["large"].y[cell] == true
    assert wrong["cell"].max() >= 60
