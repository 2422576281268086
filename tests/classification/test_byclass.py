from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    precision_score,
    recall_score,
    roc_auc_score,
)

from dorl.classification.answers import Answers
from dorl.classification.byclass import (
    class_measures,
    class_table,
    confusion_of,
    kappa,
    node_confusions,
    node_table,
    reliability,
    tree_weights,
)

CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")


def answers(seed: int = 0, cells: int = 300, folds: int = 1) -> Answers:
    rng = np.random.default_rng(seed)
    true = rng.choice(4, cells, p=(0.1, 0.3, 0.2, 0.4))
    chances = rng.dirichlet((1, 1, 1, 1), cells)
    chances[np.arange(cells), true] += 0.4
    chances /= chances.sum(axis=1, keepdims=True)
    said = np.tile(chances.argmax(axis=1), (folds, 1))
    return Answers(CLASSES, true, said, np.arange(cells), probabilities=chances)


def test_every_measure_is_scikit_learns() -> None:
    of = answers()
    said, table = of.predicted[0], class_measures(of).set_index("class")
    assert of.probabilities is not None
    for number, name in enumerate(CLASSES):
        true, positive = of.true == number, said == number
        row = table.loc[name]
        assert row["cells"] == true.sum()
        assert row["sensitivity"] == pytest.approx(recall_score(true, positive))
        assert row["specificity"] == pytest.approx(recall_score(~true, ~positive))
        assert row["ppv"] == pytest.approx(precision_score(true, positive))
        assert row["npv"] == pytest.approx(precision_score(~true, ~positive))
        assert row["roc_auc"] == pytest.approx(roc_auc_score(true, of.probabilities[:, number]))
        assert row["average_precision"] == pytest.approx(average_precision_score(true, of.probabilities[:, number]))
    np.testing.assert_array_equal(confusion_of(of)[:, :-1], confusion_matrix(of.true, said))


def test_the_predictive_values_in_blood_are_those_of_a_sample_with_that_mix() -> None:
    of = answers()
    table = class_measures(of)
    assert table["share_blood"].sum() == pytest.approx(1)
    weights = table["share_blood"].to_numpy() / np.bincount(of.true) * len(of.true)
    for number, row in table.iterrows():
        true, positive = of.true == number, of.predicted[0] == number
        # one class against the rest keeps the rest's own mix
        rest = (1 - row["share_blood"]) / (~true).sum() * len(true)
        weight = np.where(true, weights[number], rest)
        assert row["ppv_blood"] == pytest.approx(precision_score(true, positive, sample_weight=weight))
        assert row["npv_blood"] == pytest.approx(precision_score(~true, ~positive, sample_weight=weight))


def test_a_rare_class_has_a_low_predictive_value_by_bayes_theorem() -> None:
    # sensitivity 90 %, specificity 95 %; of 1000 with 2 % of the class: 18 right of 18 + 49 positive answers
    true = np.repeat([0, 1], [100, 100])
    said = np.r_[np.repeat([0, 1], [90, 10]), np.repeat([0, 1], [5, 95])]
    table = class_measures(Answers(("basophil", "neutrophil"), true, said[None], np.arange(200)))
    row = table.iloc[0]
    assert (row["sensitivity"], row["specificity"]) == (0.9, 0.95)
    share = row["share_blood"]
    assert share == pytest.approx(0.8 / (0.8 + 62), abs=1e-3)
    assert row["ppv_blood"] == pytest.approx(0.9 * share / (0.9 * share + 0.05 * (1 - share)))
    assert np.isnan(row["roc_auc"])


def test_other_answers_and_cells_without_a_counterpart() -> None:
    of = Answers(("lymphocyte", "monocyte"), np.array([0, 0, 1, -1]), np.array([[0, 2, 1, 1]]), np.arange(4))
    assert confusion_of(of).tolist() == [[1, 0, 1], [0, 1, 0]]
    table = class_measures(of)
    assert table["sensitivity"].tolist() == [0.5, 1]
    assert table["cells"].tolist() == [2, 1]


def test_kappa_is_scikit_learns_plain_and_weighted() -> None:
    of = answers(folds=1)
    said, counts = of.predicted[0], confusion_of(of)
    assert kappa(counts) == pytest.approx(cohen_kappa_score(of.true, said))
    steps = np.abs(np.subtract.outer(np.arange(4), np.arange(4))).astype(float)
    assert kappa(counts[:, :-1], steps) == pytest.approx(cohen_kappa_score(of.true, said, weights="linear"))
    assert kappa(counts[:, :-1], steps**2) == pytest.approx(cohen_kappa_score(of.true, said, weights="quadratic"))


def test_kappa_of_two_readers_by_hand() -> None:
    # Cohen's kappa of the table 20 5 / 10 15: (0.7 - 0.5) / (1 - 0.5)
    assert kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert np.isnan(kappa(np.zeros((2, 3))))


def test_near_classes_weigh_less_than_far_ones() -> None:
    names = ["neutrophil_banded", "neutrophil_segmented", "lymphocyte_typical"]
    weights = tree_weights(names)
    assert weights.tolist() == [[0, 2, 5, 4], [2, 0, 5, 4], [5, 5, 0, 3]]
    near, far = (
        np.array([[8, 2, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0]]),
        np.array([[8, 0, 2, 0], [0, 9, 0, 0], [0, 0, 9, 0]]),
    )
    assert kappa(near, weights) > kappa(far, weights)
    assert kappa(near) == pytest.approx(kappa(far), abs=0.01)


def test_each_node_shows_its_own_branches() -> None:
    names = ("eosinophil", "lymphocyte_typical", "neutrophil_banded", "neutrophil_segmented")
    counts = np.array([[5, 1, 0, 0, 0], [0, 7, 0, 1, 0], [1, 0, 4, 2, 0], [0, 0, 3, 6, 1]])
    found = node_confusions(names, counts)
    assert list(found) == ["leukocyte", "granulocyte", "neutrophil"]
    assert found["leukocyte"][0] == ("granulocyte", "lymphocyte")
    assert found["leukocyte"][1].tolist() == [[21, 1, 1], [1, 7, 0]]
    assert found["granulocyte"][1].tolist() == [[5, 0, 1], [1, 15, 1]]
    assert found["neutrophil"][1].tolist() == [[4, 2, 1], [3, 6, 1]]
    table = node_table({("a", "b", "m", "LR"): Answers(names, np.array([2]), np.array([[3]]), np.arange(1))})
    one = table[(table["node"] == "neutrophil") & (table["cells"] > 0)]
    assert one[["true", "predicted"]].to_numpy().tolist() == [["neutrophil_banded", "neutrophil_segmented"]]


def test_reliability_is_scikit_learns_curve() -> None:
    of = answers(cells=2000)
    assert of.probabilities is not None
    table = reliability(of)
    right = of.probabilities.argmax(axis=1) == of.true
    accuracy, confidence = calibration_curve(right, of.probabilities.max(axis=1), n_bins=10)
    np.testing.assert_allclose(table["accuracy"], accuracy)
    np.testing.assert_allclose(table["confidence"], confidence)
    assert table["cells"].sum() == 2000


def test_the_expected_calibration_error_follows_from_the_bins() -> None:
    from dorl.classification import calibration_error

    of = answers(cells=2000)
    assert of.probabilities is not None
    right = of.probabilities.argmax(axis=1) == of.true
    table = reliability(of, bins=15)
    by_bins = (table["cells"] * (table["accuracy"] - table["confidence"]).abs()).sum() / 2000
    assert calibration_error(of.probabilities, right) == pytest.approx(by_bins)


def test_tables_name_what_was_compared_and_bear_that_nothing_was() -> None:
    key = ("a", "b", "DoRL", "LR")
    table = class_table({key: answers()})
    assert table[["train", "test", "method", "classifier"]].drop_duplicates().to_numpy().tolist() == [list(key)]
    nothing = Answers((), np.array([-1, -1]), np.array([[0, 0]]), np.arange(2), probabilities=np.zeros((2, 0)))
    assert class_table({key: nothing}).empty
    assert reliability(nothing).empty
