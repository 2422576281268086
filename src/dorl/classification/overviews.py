"""Any classifier of features, made to learn from several views of each cell."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from dorl.representation.discriminant import sliceable

#: cells that are read at once
CHUNK = 2048


class OverViews(ClassifierMixin, BaseEstimator):
    """Learns every view of a cell as a sample of its own, and classifies a cell by the mean over its plain views.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Of features (n, F); has ``predict_proba``.
    plain : int, default 2
        How many of a cell's views, the first ones, classify it.
    most : int, default 12000
        Views that are learnt at most; where there are more, each class keeps its share, and views are drawn.
    random_state : int, default 0
        Draws these.
    shared : int, default 0
        How many numbers of a view, the first ones, are the feature s, which alone is learnt; with 0 all are.

    Attributes
    ----------
    classes_ : array of str, shape (C,)
    estimator_ : scikit-learn classifier
        The fitted one.
    """

    def __init__(
        self, estimator: Any, plain: int = 2, most: int = 12_000, random_state: int = 0, shared: int = 0
    ) -> None:
        self.estimator = estimator
        self.plain = plain
        self.most = most
        self.random_state = random_state
        self.shared = shared

    def fit(self, X: ArrayLike, y: ArrayLike) -> OverViews:
        """Learn cells.

        Parameters
        ----------
        X : float array of shape (N, V, F), or `dorl.cells.rows.StoredRows` of that shape
            V views of each cell, the plain ones first; a view that is NaN is passed over.
        y : array of str, shape (N,)
        """
        cells, labels = sliceable(X), np.asarray(y)
        # the first view of every cell stays; of the others as many as there is room for, of all cells alike
        room = max(1, self.most // max(1, len(cells)))
        generator = np.random.default_rng(self.random_state)
        rows, names = [], []
        for start in range(0, len(cells), CHUNK):
            part = self._of(cells[start : start + CHUNK])
            there = ~np.isnan(part[..., 0])
            order = generator.random(there.shape)
            order[:, 0] = -1
            order[~there] = np.inf
            chosen = (order.argsort(1).argsort(1) < room) & there
            rows.append(part[chosen])
            names.append(np.repeat(labels[start : start + CHUNK], chosen.sum(1)))
        self.estimator_ = clone(self.estimator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the iteration limits are the paper's
            self.estimator_.fit(np.concatenate(rows), np.concatenate(names))
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (N, C) of cells (N, V, F), V at least `plain`; columns as in `classes_`."""
        check_is_fitted(self, "estimator_")
        cells = sliceable(X)[:, : self.plain]
        found = np.empty((len(cells), len(self.classes_)))
        for start in range(0, len(cells), CHUNK):
            part = self._of(cells[start : start + CHUNK])
            probabilities = self.estimator_.predict_proba(part.reshape(-1, part.shape[2]))
            found[start : start + CHUNK] = probabilities.reshape(len(part), -1, len(self.classes_)).mean(1)
        return found

    def _of(self, views: Any) -> NDArray[np.float32]:
        part = np.asarray(views, np.float32)
        return part[..., : self.shared] if self.shared else part

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each cell, shape (N,); input as for `predict_proba`."""
        return self.classes_[self.predict_proba(X).argmax(1)]
