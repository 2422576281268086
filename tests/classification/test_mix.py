from __future__ import annotations

import numpy as np
import pytest

from dorl.classification.intervals import BLOOD, KNOWN
from dorl.classification.mix import FLOOR, MIN_SHARE, Expected, shares_of
from dorl.errors import InputError
from dorl.taxonomy import NODES

FIVE = ["basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil"]
TEN = [
    *("basophil", "eosinophil", "erythroblast", "lymphocyte_typical", "metamyelocyte", "monocyte", "myelocyte"),
    *("neutrophil_banded", "neutrophil_segmented", "promyelocyte"),
]


def overlapping(counts: tuple[int, ...], *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities under an even source of points on a line, and the class of each."""
    y = np.repeat(np.arange(len(counts)), counts)
    x = 2.0 * y + np.random.default_rng(seed).normal(size=len(y))
    density = np.exp(-0.5 * (x[:, None] - 2.0 * np.arange(len(counts))) ** 2)
    return density / density.sum(1, keepdims=True), y


def test_the_mix_is_found_and_the_correction_helps() -> None:
    said, y = overlapping((900, 60, 40))
    even = np.full(3, 1 / 3)
    truth = np.array([0.9, 0.06, 0.04])
    expected = Expected(even, truth)
    mix = expected.estimate(said, another_lab=False)
    assert mix == pytest.approx(truth, abs=0.02)
    assert abs(said.mean(0) - truth).max() > 0.1  # which the probabilities themselves don't tell
    right = (expected.correct(said, mix).argmax(1) == y).mean()
    assert right > (said.argmax(1) == y).mean() + 0.02


def test_what_is_expected_weighs_more_in_another_lab() -> None:
    said, _ = overlapping((50, 50, 400))
    expected = Expected(np.full(3, 1 / 3), np.array([0.8, 0.1, 0.1]))
    alike, unlike = (expected.estimate(said, another_lab=value) for value in (False, True))
    assert alike[0] < unlike[0] < 0.8
    assert unlike[2] < alike[2]


def test_no_class_becomes_impossible() -> None:
    said = np.tile([1.0, 0.0, 0.0], (200, 1))
    expected = Expected(
        np.full(3, 1 / 3), shares_of({"monocyte": 1}, ["monocyte", "basophil", "eosinophil"], np.ones(3))
    )
    mix = expected.estimate(said, another_lab=True)
    assert mix.min() > 0
    assert mix.sum() == pytest.approx(1)
    corrected = expected.correct(said, mix)
    assert corrected.min() > 0
    sure = np.array([[FLOOR, 1.0, FLOOR]])  # a sure cell stays what it is
    assert expected.correct(sure, mix).argmax() == 1


def test_a_mix_as_learnt_changes_nothing() -> None:
    said, _ = overlapping((100, 100, 100))
    even = np.full(3, 1 / 3)
    assert Expected(even, even).correct(said, even) == pytest.approx(np.maximum(said, FLOOR), abs=1e-5)


@pytest.mark.parametrize("name", list(KNOWN))
def test_a_known_mix_is_of_nodes_and_limits_in_order(name: str) -> None:
    assert set(KNOWN[name]) <= set(NODES)
    assert all(0 <= low < high <= 100 for low, high in KNOWN[name].values())


def test_blood_holds_hardly_any_immature_cell_and_marrow_many() -> None:
    blood, marrow = (dict(zip(TEN, shares_of(name, TEN, np.ones(10)), strict=True)) for name in ("blood", "marrow"))
    young = ["erythroblast", "metamyelocyte", "myelocyte", "promyelocyte"]
    assert all(blood[name] == pytest.approx(MIN_SHARE, rel=0.01) for name in young)
    assert sum(marrow[name] for name in young) > 0.5
    assert blood["neutrophil_segmented"] > 10 * blood["neutrophil_banded"] > 0
    low, high = BLOOD["neutrophil_banded"]
    total = sum(sum(BLOOD[name]) / 2 for name in FIVE)
    assert blood["neutrophil_banded"] == pytest.approx((low + high) / 2 / total, rel=0.02)


def test_shares_go_up_and_down_the_tree() -> None:
    coarse = shares_of("marrow", ["erythroblast", "granulocyte", "lymphocyte", "monocyte"], np.ones(4))
    assert coarse[1] > 0.5
    fine = shares_of(
        {"neutrophil": 8, "monocyte": 2}, ["monocyte", "neutrophil_banded", "neutrophil_segmented"], np.ones(3)
    )
    assert fine == pytest.approx([0.2, 0.4, 0.4])
    assert shares_of("source", FIVE, [1, 1, 2, 2, 4]) == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.4])


def test_what_cannot_be_expected_is_refused() -> None:
    with pytest.raises(InputError, match="blood, marrow, source, none, or a CSV file"):
        shares_of("urine", FIVE, np.ones(5))
    with pytest.raises(InputError, match="from 0 up"):
        shares_of({"monocyte": -1}, FIVE, np.ones(5))
    with pytest.raises(InputError, match="nothing is expected"):
        shares_of({"erythroblast": 1}, FIVE, np.ones(5))
    with pytest.raises(InputError, match="is no class"):
        shares_of({"leucocytus": 1}, FIVE, np.ones(5))
