"""Intervals of accuracy on rendered labs, whose patients are stained differently."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dorl.classification.bootstrap import score_intervals, scores_of
from dorl.classification.metrics import confusion
from dorl.domains.rendered import STYLES, render_cell

#: told apart with ease by their colours, and hardly
EASY = ("neutrophil_segmented", "lymphocyte_typical", "monocyte", "eosinophil")
HARD = ("neutrophil_segmented", "neutrophil_banded", "lymphocyte_typical", "lymphocyte_atypical", "monocyte")
PATIENTS, CELLS = 160, 12


def rendered_patients(classes: tuple[str, ...], patients: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours inside the mask of each cell (N, 6), its class (N,) and patient (N,); each patient's stain is drawn."""
    rng = np.random.default_rng(seed)
    style = STYLES["harbour"]
    X, y, units = [], [], []
    for patient in range(patients):
        smear = style.varied(rng, style.variation)
        for _ in range(rng.integers(CELLS // 2, 2 * CELLS)):
            label = int(rng.integers(len(classes)))
            cell = render_cell(classes[label], smear, rng, 48)
            pixels = cell.image[cell.mask].astype(float)
            X.append(np.r_[pixels.mean(0), pixels.std(0)])
            y.append(label)
            units.append(patient)
    return np.array(X), np.array(y), np.array(units)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [EASY, HARD])
@pytest.mark.parametrize("patients", [10, 20])
def test_of_rendered_labs_with_patients_92_to_98_of_100_intervals_hold_the_true_accuracy(
    classes: tuple[str, ...], patients: int
) -> None:
    X, y, _ = rendered_patients(classes, 20, seed=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
    X, y, units = rendered_patients(classes, PATIENTS, seed=2)
    said = model.predict(X)
    truth = scores_of(confusion(y.tolist(), said.tolist(), range(len(classes))))  # type: ignore[arg-type]
    assert 0.6 < truth[0] < 0.98  # neither chance nor perfect, so that intervals are tried
    by_patient = {one: np.flatnonzero(units == one) for one in range(PATIENTS)}
    rng, times, held = np.random.default_rng(3), 400, np.zeros(3)
    for number in range(times):
        # with replacement, as from a laboratory whose patients are these and many like them
        drawn = [by_patient[one] for one in rng.integers(0, PATIENTS, patients)]
        rows, patient = np.concatenate(drawn), np.repeat(np.arange(patients), [len(of) for of in drawn])
        found = score_intervals(y[rows], said[rows], len(classes), patient, draws=500, seed=number)
        held += [of.low <= value <= of.high for of, value in zip(found.values(), truth, strict=True)]
    assert ((held / times >= 0.92) & (held / times <= 0.98)).all(), (held / times, truth)
