from __future__ import annotations

import numpy as np

from dorl.benchmark.methods.bcsam import BCSAM, classified
from dorl.benchmark.methods.features import whole_image
from dorl.classification import CLASSIFIERS

from .two_labs import TwoLabs


def test_every_classifier_is_a_variant(two_labs: TwoLabs) -> None:
    fitted = BCSAM().fit(two_labs.source, [], seed=0)
    assert [one.variant for one in fitted] == list(CLASSIFIERS)
    assert {one.chosen_by for one in fitted} == {"the paper"}
    for one in fitted:
        assert set(one.predict(two_labs.target)) <= set(two_labs.source.classes)
    forest = fitted[0].predict(two_labs.source.cells)
    assert (forest == two_labs.source.labels).mean() > 0.9  # of the cells that it has learnt


def test_features_are_extracted_once_for_all_classifiers(two_labs: TwoLabs) -> None:
    asked = []

    def extract(cells: object) -> np.ndarray:
        asked.append(len(cells))  # type: ignore[arg-type]
        return whole_image(cells)  # type: ignore[arg-type]

    features = whole_image(two_labs.source.cells)
    for one in classified(["LR", "RF"], features, two_labs.source, extract, seed=0):
        one.predict(two_labs.target)
    assert asked == [30]
