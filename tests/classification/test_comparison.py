"""One pair of labs: at which classes it is compared, and what that leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from dorl.classification.comparison import Comparison


def names(*labels: str) -> np.ndarray:
    return np.array(labels, dtype=object)


FINE = names("neutrophil_banded", "neutrophil_segmented", "monocyte")
COARSE = names("neutrophil", "neutrophil", "monocyte", "basophil")
ALL = np.arange(4)


def test_a_fine_lab_is_compared_at_the_coarse_labs_level() -> None:
    pair = Comparison("fine", "coarse", FINE, COARSE)
    assert set(pair.classes) == {"neutrophil", "monocyte"}
    found, counts = pair.tree(ALL, names("neutrophil_banded", "neutrophil_segmented", "monocyte", "monocyte"))
    assert found["accuracy"] == 1
    assert counts.sum() == 3  # the basophil has no counterpart


def test_a_coarse_lab_is_not_asked_for_what_it_never_learnt() -> None:
    pair = Comparison("coarse", "fine", COARSE, FINE)
    found, _ = pair.tree(np.arange(3), names("neutrophil", "neutrophil", "monocyte"))
    assert found["accuracy"] == 1
    assert pair.note() is None


def test_the_flat_comparison_counts_every_cell() -> None:
    pair = Comparison("fine", "coarse", FINE, COARSE)
    found = pair.flat(ALL, names("neutrophil_banded", "neutrophil_segmented", "monocyte", "monocyte"))
    assert found["accuracy"] == pytest.approx(2 / 4)  # neutrophil is flattened to segmented, the basophil is wrong


def test_only_the_cells_asked_for_are_scored() -> None:
    pair = Comparison("fine", "coarse", FINE, COARSE)
    found, counts = pair.tree(np.array([2]), names("neutrophil_banded"))
    assert found["accuracy"] == 0
    assert counts.sum() == 1


def test_a_prediction_outside_the_shared_classes_is_wrong_and_stands_apart() -> None:
    train, test = names("neutrophil", "monocyte", "basophil"), names("neutrophil", "monocyte")
    pair = Comparison("a", "b", train, test)
    assert set(pair.classes) == {"neutrophil", "monocyte"}
    found, counts = pair.tree(np.arange(2), names("basophil", "monocyte"))
    assert found["accuracy"] == 0.5
    assert counts[:, -1].sum() == 1


def test_what_is_left_out_is_counted_and_named() -> None:
    pair = Comparison("fine", "coarse", FINE, names("basophil", "basophil", "eosinophil", "monocyte"))
    assert pair.summary() == {"train": "fine", "test": "coarse", "cells": 1, "left_out": 3, "classes": ("monocyte",)}
    note = pair.note()
    assert note is not None
    assert note.startswith("fine → coarse: 2 classes have no counterpart in fine (cells: basophil 2, eosinophil 1)")
