import numpy as np
import pytest

from dorl.classification import confusion, scores

TRUE = np.array(["a", "a", "a", "b"], dtype=object)


def test_confusion_puts_foreign_predictions_last():
    counts = confusion(TRUE, np.array(["a", "b", None, "elsewhere"], dtype=object), ("a", "b"))
    assert counts.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_scores_of_a_small_case_by_hand():
    found = scores(TRUE, np.array(["a", "a", "b", "b"], dtype=object), ("a", "b", "absent"))
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_scores_agree_with_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score, f1_score

    rng = np.random.default_rng(0)
    true, predicted = (
        rng.choice(list("abcd"), 200).astype(object),
        rng.choice(list("abcd"), 200).astype(object),
    )
    found = scores(true, predicted, tuple("abcd"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))


def test_scores_of_no_cell_are_nan():
    assert all(np.isnan(value) for value in scores([], [], ("a",)).values())
