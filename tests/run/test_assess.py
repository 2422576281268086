"""What a run says of cells together, with a model that keeps account of what it is asked."""

from __future__ import annotations

from copy import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline

from dorl.errors import InputError
from dorl.run import assess as module
from dorl.run.assess import Assessment, assess, check_sure
from dorl.run.model import DoRL


class Told:
    """Stands in for `DoRL`: the first number of a cell is the probability of its first class, the second a distance."""

    classes_ = ("monocyte", "basophil")
    calibration = unlike = mix = None
    adapted = False

    def __init__(self) -> None:
        self.adapted_to: list[float] = []
        self.asked: list[int] = []

    def suited_and_asked(self, inputs: np.ndarray, **options: Any) -> tuple[Told, np.ndarray, None]:
        self.adapted_to = inputs[:, 0].tolist()
        other = copy(self)
        other.adapted = options["adapt"]
        return other, other.probabilities(inputs), None

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        self.asked.append(len(inputs))
        return np.stack([inputs[:, 0], 1 - inputs[:, 0]], 1)

    def distances(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, 1]

    def first_probabilities(self, inputs: np.ndarray) -> None:
        return None


def cells(count: int) -> np.ndarray:
    return np.stack([np.linspace(0, 1, count), np.where(np.arange(count) == 1, np.nan, np.arange(count) / 2)], 1)


def test_it_adapts_to_a_bounded_number_evenly_and_answers_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADAPTED_CELLS", 3)
    monkeypatch.setattr(module, "CHUNK", 4)
    model: Any = Told()
    found = assess(model, cells(9))
    assert model.adapted_to == [0.0, 0.5, 1.0]
    assert model.asked == [3, 4, 2]  # those adapted to aren't asked about again
    np.testing.assert_allclose(found.probabilities[:, 0], np.linspace(0, 1, 9))
    assert found.distances[2:].tolist() == (np.arange(2, 9) / 2).tolist()
    assert found.adapted
    assert not assess(model, cells(9), adapt=False).adapted


def test_only_rows_with_a_cell_count() -> None:
    model: Any = Told()
    found = assess(model, cells(5), np.array([1, 4]))
    assert model.adapted_to == [0.25, 1.0]
    np.testing.assert_allclose(found.probabilities[:, 0], [0.25, 1.0])


def test_the_table_says_nothing_of_what_is_not_known() -> None:
    model: Any = Told()
    found = assess(model, cells(5))
    table = found.table()
    assert table["class"].tolist() == ["basophil", "basophil", "monocyte", "monocyte", "monocyte"]
    assert table["distance"].tolist() == [0.0, None, 1.0, 1.5, 2.0]
    assert table["unlike"].tolist() == [False, None, False, True, True]
    assert found.table(reject=True)["class"].tolist() == ["basophil", "basophil", "monocyte", None, None]


def test_a_sure_class_is_the_node_with_its_probability() -> None:
    model: Any = Told()
    found = Assessment(model, np.array([[0.7, 0.3]]), np.array([0.1]), False, {}, None)
    assert found.table(sure=0.6)["class"].tolist() == ["monocyte"]
    (row,) = found.table(sure=0.9).to_dict("records")
    assert row["class"] == row["node"]
    assert row["class"] not in model.classes_
    assert row["probability"] == pytest.approx(1.0)


@pytest.mark.parametrize("sure", [0.0, -1.0, 1.5])
def test_no_probability_is_refused(sure: float) -> None:
    with pytest.raises(InputError, match="give a probability above 0, 1 at most"):
        check_sure(sure)


class Asked(ClassifierMixin, BaseEstimator):
    """A classifier of two classes that counts the cells that it is asked about."""

    classes_ = np.array(["basophil", "monocyte"])
    cells = 0

    def fit(self, X: np.ndarray, y: np.ndarray) -> Asked:
        self.fitted_ = True
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        self.cells += len(X)
        return np.tile([0.3, 0.7], (len(X), 1))


def test_a_mix_is_estimated_and_cells_answered_by_asking_about_each_once() -> None:
    settings = SimpleNamespace(expect="source", shares={})
    config: Any = SimpleNamespace(classifiers=settings, views=SimpleNamespace(size=False), method="published")
    model = DoRL.__new__(DoRL)
    model.classifier, model.classifier_name, model.config = (
        make_pipeline(Asked().fit(np.zeros((1, 4)), np.zeros(1))),
        "LR",
        config,
    )
    model.calibration = SimpleNamespace(  # type: ignore[assignment]
        shares={"basophil": 0.5, "monocyte": 0.5}, apply=lambda said: said, estimate=lambda *_, **__: (0.5, 0.4, 0.6)
    )
    model.unlike = model.held_out = model.mix = model._expected = None
    model.another_lab, model.each_unlike, model.usual_size, model.stays = False, True, float("nan"), None
    found = assess(model, np.zeros((50, 4)))
    assert model.classifier[-1].cells == 50
    assert found.mix["monocyte"] > 0.6
    assert (found.probabilities[:, 1] > 0.7).all()
    assert np.isnan(found.distances).all()
    empty, said, first = model.suited_and_asked(np.zeros((0, 4)))
    assert said.shape == (0, 2)
    assert first is None
    assert not empty.another_lab
