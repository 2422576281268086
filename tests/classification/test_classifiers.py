import numpy as np
import pytest
from sklearn.base import clone

from dorl.classification import CLASSIFIERS, make_classifier
from dorl.errors import InputError

from .made_up import lab

DATA = lab({"neutrophil": 30, "monocyte": 30, "eosinophil": 20})


def test_names_are_those_of_the_paper_in_its_order():
    assert list(CLASSIFIERS) == ["RF", "XGBoost", "SVM (poly)", "SVM (linear)", "LR", "ANN"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_learns_repeats_itself_and_predicts_its_most_probable_class(name):
    first = make_classifier(name, seed=3).fit(DATA.X, DATA.y.astype(str))
    again = clone(first).fit(DATA.X, DATA.y.astype(str))
    probabilities = first.predict_proba(DATA.X)
    np.testing.assert_array_equal(probabilities, again.predict_proba(DATA.X))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    predicted = first.predict(DATA.X)
    np.testing.assert_array_equal(first.classes_[probabilities.argmax(axis=1)], predicted)
    assert (predicted == DATA.y).mean() > 0.9


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_two_classes_are_enough(name):
    two = lab({"neutrophil": 20, "monocyte": 20})
    model = make_classifier(name).fit(two.X, two.y.astype(str))
    np.testing.assert_array_equal(model.classes_[model.predict_proba(two.X).argmax(axis=1)], model.predict(two.X))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_class_with_a_single_cell_is_no_obstacle(name):
    rare = lab({"neutrophil": 20, "monocyte": 20, "basophil": 1})
    model = make_classifier(name).fit(rare.X, rare.y.astype(str))
    assert "basophil" in model.classes_


def test_ann_stops_early_where_it_can():
    assert make_classifier("ANN").fit(DATA.X, DATA.y.astype(str))[-1].model_.early_stopping
    rare = lab({"neutrophil": 20, "monocyte": 20, "basophil": 1})
    assert not make_classifier("ANN").fit(rare.X, rare.y.astype(str))[-1].model_.early_stopping


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(InputError, match="RF, XGBoost"):
        make_classifier("KNN")
