from __future__ import annotations

import numpy as np
import pytest

from dorl.classification.nodes import finest_sure, probability_of

CLASSES = ["erythroblast", "metamyelocyte", "monocyte", "myelocyte", "neutrophil_segmented"]
SAID = np.array(
    [
        [0.0, 0.95, 0.0, 0.05, 0.0],  # sure
        [0.0, 0.5, 0.05, 0.45, 0.0],  # of the stage it isn't
        [0.0, 0.4, 0.0, 0.2, 0.4],
        [0.0, 0.4, 0.4, 0.2, 0.0],
        [0.5, 0.4, 0.0, 0.1, 0.0],
    ]
)


def test_a_cell_is_named_as_finely_as_is_sure() -> None:
    nodes = finest_sure(SAID, CLASSES, sure=0.9)
    assert nodes.tolist() == ["metamyelocyte", "immature_granulocyte", "granulocyte", "leukocyte", "cell"]
    assert probability_of(SAID, CLASSES, nodes) == pytest.approx([0.95, 0.95, 1, 1, 1])


def test_the_likeliest_class_stays_where_little_is_asked_for() -> None:
    assert finest_sure(SAID, CLASSES, sure=0.01).tolist() == [CLASSES[i] for i in SAID.argmax(1)]
