"""Small made-up features of labs: one cloud of points a class, shifted from lab to lab."""

from __future__ import annotations

import numpy as np

from dorl.classification import LabFeatures

CENTRES = {
    "neutrophil": (4.0, 0.0, 0.0),
    "neutrophil_banded": (4.0, 0.4, 0.0),
    "neutrophil_segmented": (4.0, -0.4, 0.0),
    "monocyte": (-4.0, 0.0, 0.0),
    "eosinophil": (0.0, 4.0, 4.0),
    "basophil": (0.0, -4.0, 4.0),
}


def lab(counts: dict[str, int], *, shift: float = 0.0, seed: int = 0) -> LabFeatures:
    """A lab with so many cells of each class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.array(list(counts), dtype=object), list(counts.values()))
    X = np.array([CENTRES[name] for name in y]) + rng.normal(scale=0.5, size=(len(y), 3)) + shift
    order = rng.permutation(len(y))
    return LabFeatures(X[order], y[order])


def fine_and_coarse() -> dict[str, LabFeatures]:
    """A lab that tells banded from segmented neutrophils, and one that doesn't and has a single basophil."""
    return {
        "fine": lab({"neutrophil_banded": 20, "neutrophil_segmented": 20, "monocyte": 20, "eosinophil": 15}),
        "coarse": lab({"neutrophil": 25, "monocyte": 15, "basophil": 1}, shift=0.2, seed=1),
    }
