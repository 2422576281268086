"""What a classifier says of cells of the source labs that it hasn't learnt, with their classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import cross_val_predict

from dorl.classification.folds import stratified

#: parts that the source cells are divided into, each asked about once
FOLDS = 3
#: with fewer held-out cells nothing is said
MIN_HELD_OUT_CELLS = 30


@dataclass(frozen=True)
class HeldOut:
    """Held-out cells of the source labs.

    Attributes
    ----------
    classes : tuple of str
        The C classes, sorted.
    probabilities : float32 array of shape (N, C)
        As the classifier gives them.
    labels : int64 array of shape (N,)
        The true class of each, as a number among `classes`.
    counts : int64 array of shape (C,)
        Cells of each class that the run's classifier has learnt.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each class among the cells that were learnt."""
        return dict(zip(self.classes, (self.counts / self.counts.sum()).tolist(), strict=True))

    def confusion(self, probabilities: ArrayLike) -> NDArray[np.int64]:
        """Cells by true and likeliest class, int64 (C, C), by their `probabilities` (N, C), corrected or not."""
        size = len(self.classes)
        pairs = self.labels * size + np.asarray(probabilities).argmax(1)
        return np.bincount(pairs, minlength=size * size).reshape(size, size)


def ask_held_out(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: NDArray[np.int64] | None = None,
    patients: NDArray[np.object_] | None = None,
    seed: int = 0,
) -> HeldOut | None:
    """Ask a classifier about cells that it hasn't learnt.

    Parameters
    ----------
    model : scikit-learn classifier
        Copied unfitted; `model` itself isn't touched.
    X : array of shape (N, D)
    y : array of str, shape (N,)
    groups : int array of shape (N,), optional
        The same number for copies of a cell, which lie in one fold.
    patients : object array of shape (N,), optional
        Patient of each cell, by lab; None where unknown. Cells of a patient lie in one fold.
    seed : int
        Of the folds.

    Returns
    -------
    HeldOut or None
        Without the cells of classes that have a single one. None where there are too few cells to say anything.
    """
    y = np.asarray(y).astype(str)
    names, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    # a class of a single cell is not learnt when that cell is asked about, which teaches nothing of confidence
    known = counts[index] > 1
    if (counts > 1).sum() < 2 or known.sum() < MIN_HELD_OUT_CELLS or counts.max() < FOLDS:
        return None
    if groups is not None and len(np.unique(groups)) < FOLDS:
        return None
    folds = stratified(y, groups, folds=FOLDS, seed=seed, patients=patients)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small classes, and the iteration limits, which are the paper's
        held = cross_val_predict(model, X, y, cv=folds, method="predict_proba")[known]
    return HeldOut(tuple(names.tolist()), held.astype(np.float32), index[known].astype(np.int64), counts)
