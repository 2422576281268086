"""How unlike the cells that were learnt a cell is, by one definition for every classifier.

In the space in which all classes have the same round spread, seen from the middle of the class means, a cell of a class
that was learnt lies in the direction of its mean. What points nowhere near any of them is unlike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dorl.cells.rows import plain_means
from dorl.classification.folds import stratified
from dorl.representation.discriminant import Moments, sliceable, whitening

#: share of the held-out cells that is called unlike
CALLED = 0.05
#: parts that the cells are divided into to set the threshold, and cells of a class that this takes at least
FOLDS = 3
#: with fewer cells nothing is learnt of their lab
MIN_LAB_CELLS = 100


@dataclass(frozen=True)
class Unlike:
    """Says how unlike the cells learnt each cell is.

    Attributes
    ----------
    classes : tuple of str
        The C classes, sorted.
    middle : float32 array of shape (F,)
        Of the features of the class means; taken from a cell's.
    whiten : float32 array of shape (F, F)
        Features times this have about the identity as their covariance within classes.
    means : float32 array of shape (C, F)
        Of the classes, less `middle`, whitened.
    threshold : float
        What `CALLED` of the held-out cells exceed in `angle`.
    quartiles : tuple of 3 float
        Of the held-out cells' `angle`, the smallest first.
    shift : float32 array of shape (F,)
        Of another lab, whitened; 0 without one.
    usual : tuple of 2 float or None
        The lower quartile and the median of that lab's `angle`; None without one.
    """

    classes: tuple[str, ...]
    middle: NDArray[np.float32]
    whiten: NDArray[np.float32]
    means: NDArray[np.float32]
    threshold: float
    quartiles: tuple[float, float, float]
    shift: NDArray[np.float32]
    usual: tuple[float, float] | None = None

    @classmethod
    def fit(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        *,
        groups: NDArray[np.int64] | None = None,
        patients: NDArray[np.object_] | None = None,
        seed: int = 0,
    ) -> Unlike | None:
        """Learn labelled cells.

        Parameters
        ----------
        X : float array of shape (N, F)
            Descriptions of cells, means over their views; as published features s.
        y : array of str, shape (N,)
        groups : int array of shape (N,), optional
            The same number for copies of a cell, which lie in one fold.
        patients : object array of shape (N,), optional
            Patient of each cell; None where unknown. Cells of a patient lie in one fold, so that the threshold is that
            of cells of patients who weren't learnt.
        seed : int
            Of the folds.

        Returns
        -------
        Unlike or None
            None where no class has `FOLDS` cells, there are fewer than two classes, or fewer than `FOLDS` groups.
        """
        features, labels = np.asarray(X, np.float32), np.asarray(y).astype(str)
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < 2 or counts.max() < FOLDS or (groups is not None and len(np.unique(groups)) < FOLDS):
            return None
        angles = []
        for rows, held in stratified(labels, groups, folds=FOLDS, seed=seed, patients=patients):
            known = np.isin(labels[held], labels[rows])
            if len(np.unique(labels[rows])) > 1 and known.any():
                angles.append(_learnt(features[rows], labels[rows]).angle(features[held][known]))
        found = np.concatenate(angles)
        low, middle, high, threshold = (float(value) for value in np.quantile(found, [0.25, 0.5, 0.75, 1 - CALLED]))
        learnt = _learnt(features, labels)
        return replace(learnt, threshold=max(threshold, 1e-6), quartiles=(low, middle, high))

    def angle(self, X: ArrayLike) -> NDArray[np.float64]:
        """One less the cosine of the angle to the nearest class mean, 0-2: (N,) of features (N, F)."""
        rows = _unit(self._whitened(X))
        return np.asarray(1 - (rows @ _unit(self.means).T).max(1), np.float64)

    def distance(self, X: ArrayLike) -> NDArray[np.float64]:
        """How unlike each cell is; above 1 it is unlike all that were learnt.

        Parameters
        ----------
        X : float array of shape (N, F)
            As for `fit`.

        Returns
        -------
        float array of shape (N,)
            The `angle` over the threshold, 0 or more; of another lab it is moved and stretched first, so that the lower
            half of that lab's cells lies as that of the held-out ones.
        """
        angle = self.angle(X)
        if self.usual is not None:
            (low, middle, _), (own_low, own_middle) = self.quartiles, self.usual
            angle = low + (angle - own_low) * (middle - low) / max(own_middle - own_low, 1e-6)
        return np.asarray(np.maximum(0.0, angle) / self.threshold)

    def of_another_lab(self, X: ArrayLike) -> bool:
        """Whether some cells, taken together, are another lab's: the one definition of that.

        They are where half of them are less alike to the class means (`angle`) than three quarters of the held-out
        cells. A single cell is so by chance in a quarter of the cases; thirty cells of the labs learnt hardly ever are.

        All that depends on it is told so: whether "Views" adapts (`dorl.classification.ViewsClassifier.suited`), how
        much the expected mix of classes weighs (`dorl.classification.mix.Expected.estimate`), whether a shift that the
        cells share counts as usual (`suited`), and how wide a count's intervals are
        (`dorl.classification.differential`).

        Parameters
        ----------
        X : float array of shape (N, F)
            As for `fit`; False of no cells.
        """
        features = np.asarray(X, np.float32)
        return bool(len(features) and np.median(self.angle(features)) > self.quartiles[2])

    def suited(self, X: ArrayLike, probabilities: ArrayLike) -> Unlike:
        """The same for cells of another lab, whose common shift isn't held against each of them.

        The shift is the cells' mean less that of the class means in their mix. What lower quartile and median of their
        `angle` are still larger by counts as usual in this lab. So a whole lab isn't unlike, but a cell that is unlike
        both its own lab and the cells learnt is. A kind of cell that makes up most of a lab counts as usual, too.

        Parameters
        ----------
        X : float array of shape (N, F)
        probabilities : float array of shape (N, C)
            Of the classes, in the order of `classes`.

        Returns
        -------
        Unlike
            Itself with fewer than `MIN_LAB_CELLS` cells.
        """
        features = np.asarray(X, np.float32)
        if len(features) < MIN_LAB_CELLS:
            return self
        mix = np.asarray(probabilities, np.float64).mean(0)
        still = replace(self, shift=np.zeros_like(self.shift), usual=None)
        shift = still._whitened(features).mean(0) - mix @ self.means
        other = replace(still, shift=shift.astype(np.float32))
        low, middle = (float(value) for value in np.quantile(other.angle(features), [0.25, 0.5]))
        return replace(other, usual=(low, middle)) if middle > self.quartiles[1] else other

    def _whitened(self, X: ArrayLike) -> NDArray[np.float32]:
        return np.asarray((np.asarray(X, np.float32) - self.middle) @ self.whiten - self.shift, np.float32)


def described(X: Any, *, plain: int, skip: int, sized: bool) -> NDArray[np.float32]:
    """What cells are compared by: the mean over their plain views of the description that s is made of.

    Parameters
    ----------
    X : float array of shape (N, V, skip + F), or `dorl.cells.rows.StoredRows` of that shape
        As classifiers take it, the plain views first; or (N, F), as published, which stays as it is.
    plain : int
        How many views are plain.
    skip : int
        How many numbers, the first ones of a view, are s.
    sized : bool
        Whether a view's last number is the cell's size, which is left out.

    Returns
    -------
    float32 array of shape (N, F)
    """
    cells = sliceable(X)
    if cells.ndim == 2:
        return np.asarray(cells, np.float32)
    return plain_means(cells, plain)[:, skip : cells.shape[2] - sized]


def _learnt(features: NDArray[np.float32], labels: NDArray[np.str_]) -> Unlike:
    """What is learnt of cells (N, F), without a threshold."""
    classes, index = np.unique(labels, return_inverse=True)
    learnt = Moments.of(features[:, None], index, len(classes))
    means = learnt.means
    _, scale, within = learnt.spread()
    whiten = whitening(within, scale)
    middle = means.mean(0)
    placed = ((means - middle) @ whiten).astype(np.float32)
    kept = middle.astype(np.float32), whiten.astype(np.float32)
    return Unlike(tuple(classes.tolist()), *kept, placed, 1.0, (0.0, 0.0, 0.0), np.zeros(len(middle), np.float32))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)
