"""The classifier over several views of each cell, which can adapt itself to cells without labels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from dorl.classification.mix import LEAST, Expected
from dorl.taxonomy import UNCOMMON

#: cells that are read at once
CHUNK = 512
#: with fewer cells than this nothing is learnt from them without their classes
FEWEST = 100
#: cells of a class, where it has as many, that stay where cells must be left out
KEPT = 20
#: cells whose median distance (`ViewsClassifier.distance`) is more than this are another lab's
UNLIKE = 1.5

_Moments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class ViewsClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression that learns from every view of a cell, classifies by the plain ones, and adapts.

    It learns in the space in which all classes have the same round spread, so that few iterations are enough and the
    penalty treats all directions alike. Beside it, it keeps the sums that linear discriminant analysis is made of:
    `adapted` adds another lab's cells to them, without the cells it was fitted to. (Scikit-learn's own analysis takes
    no weights, needs all rows at once, and can't go on from what it has learnt.)

    Parameters
    ----------
    plain : int, default 2
        How many of a cell's views, the first ones, classify it.
    C : float, default 0.01
        Inverse strength of the penalty of the logistic regression.
    shrinkage : float, default 0.1
        Of the covariance within classes, of standardised features, towards a multiple of the identity; 0-1.
    random_state : int, default 0
        Draws the views that the logistic regression learns from where there are too many.

    Attributes
    ----------
    classes_ : array of str, shape (C,)
    coef_, intercept_ : float arrays of shape (C, F) and (C,)
        Of the logistic regression.
    counts_, means_, scatter_ : float arrays of shape (C,), (C, F) and (F, F)
        Views learnt of each class, weighted; their means; sum of the outer products of their distances from those.
    adapted_ : bool
        Whether it has adapted to cells without classes, and asks the discriminant analysis, too.
    adapted_coef_, adapted_intercept_ : float arrays of shape (C, F) and (C,)
        Of the discriminant analysis, where it has.

    References
    ----------
    Friedman, *Regularized discriminant analysis*, J. Am. Stat. Assoc. 84 (1989).
    """

    #: views that the logistic regression learns from at most
    MOST = 30_000

    def __init__(self, plain: int = 2, C: float = 0.01, shrinkage: float = 0.1, random_state: int = 0) -> None:
        self.plain = plain
        self.C = C
        self.shrinkage = shrinkage
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> ViewsClassifier:
        """Learn cells.

        Parameters
        ----------
        X : float array of shape (N, V, F), or `dorl.cells.rows.StoredRows` of that shape
            V views of each cell, the plain ones first; a view that is NaN is passed over. It is read slice by slice,
            here and wherever else X is taken.
        y : array of str, shape (N,)
        sample_weight : float array of shape (N,), optional
            Above 0; 1 each otherwise.
        """
        cells = sliceable(X)
        self.classes_, index = np.unique(np.asarray(y), return_inverse=True)
        weight = np.ones(len(cells)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        self.counts_, self.means_, self.scatter_ = _moments(cells, index, len(self.classes_), weight)
        self.adapted_ = False
        middle, scale, within = self._spread()
        # rows times this have the identity as their covariance within classes
        whiten = solve_triangular(cholesky(within, lower=True), np.diag(scale), lower=True).T
        drawn = self._drawn(cells, index, weight)
        most = len(drawn[0]) * cells.shape[1]
        learnt = np.empty((most, cells.shape[2]), np.float32), np.empty(most, np.intp), np.empty(most)
        count = 0
        for rows, of, weighs in _chunks(*drawn):
            part = slice(count, count := count + len(rows))
            learnt[0][part], learnt[1][part], learnt[2][part] = (rows - middle) @ whiten, of, weighs
        model = LogisticRegression(C=self.C, max_iter=50)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # what is left to gain after so many is noise
            model.fit(*(array[:count] for array in learnt))
        weights, offsets = model.coef_, model.intercept_
        if len(self.classes_) == 2:  # scikit-learn keeps the second class's alone
            weights, offsets = np.vstack([0 * weights, weights]), np.append(0 * offsets, offsets)
        self.coef_ = weights @ whiten.T
        self.intercept_ = offsets - self.coef_ @ middle
        return self

    def adapted(
        self,
        X: ArrayLike,
        *,
        expected: Expected | None = None,
        rounds: int = 2,
        share: float = 0.6,
        weight: float = 0.5,
    ) -> ViewsClassifier:
        """A copy that has learnt from another lab's cells, too, whose classes nobody gave: self-training.

        In each round it classifies them, takes the surest of each class at its word, and lets the discriminant analysis
        learn those beside the cells that it was fitted to. Classes that blood hardly holds
        (`dorl.taxonomy.UNCOMMON`) are not learnt so: most cells that it would take for theirs are common ones that
        another lab's stain or camera made to look like them, and each round would take in more. It still finds them.

        Parameters
        ----------
        X : float array of shape (N, V, F)
        expected : Expected, optional
            The classes' shares that are expected here: each round then takes cells at their word by probabilities that
            are corrected by the mix which it estimates.
        rounds : int
        share : float
            Of the cells given to a class, the surest are taken, 0-1.
        weight : float
            Of all these cells together, where all that it was fitted to weighs 1.

        Returns
        -------
        ViewsClassifier
            Itself where there is nothing to learn: no cell seems to be of a common class.

        References
        ----------
        Lee, *Pseudo-Label*, ICML 2013 workshop; Zou et al. 2018, arXiv 1810.07911 (the share of each class).
        """
        check_is_fitted(self, "coef_")
        cells = sliceable(X)[:, : self.plain]
        other = copy(self)
        weights = self._analysis()
        common = ~np.isin(self.classes_, list(UNCOMMON))
        for _ in range(rounds):
            said = _asked(cells, *weights)
            if expected is not None:
                learnt = np.maximum(other.counts_ / other.counts_.sum(), LEAST)
                said = replace(expected, source=learnt).corrected(said, unlike=True)
            index, sure = said.argmax(1), said.max(1)
            taken = np.zeros(len(cells), bool)
            for number in np.unique(index[common[index]]):
                members = index == number
                taken |= members & (sure >= np.quantile(sure[members], 1 - share))
            if not taken.any():
                return self
            found = _moments(cells[taken], index[taken], len(self.classes_), np.ones(taken.sum()))
            other._join(self, found, weight)
            weights = other._analysis()
        other.adapted_coef_, other.adapted_intercept_ = weights
        other.adapted_ = True
        return other

    def distance(self, X: ArrayLike) -> NDArray[np.float64]:
        """How unlike the cells that it was fitted to each cell is: about 1 is as they are, more is less like any class.

        The squared Mahalanobis distance from the nearest class's mean, over what it is on average within the classes.

        Parameters
        ----------
        X : float array of shape (N, V, F)

        Returns
        -------
        float array of shape (N,)
        """
        check_is_fitted(self, "coef_")
        middle, scale, within = self._spread()
        factor = cho_factor(within)
        means = (self.means_ - middle)[self.counts_ > 0] * scale
        weights = cho_solve(factor, means.T)
        usual = np.trace(cho_solve(factor, self.scatter_ / self.counts_.sum() * scale * scale[:, None]))
        found = []
        cells = sliceable(X)
        for start in range(0, len(cells), CHUNK):
            rows = (cells[start : start + CHUNK][:, : self.plain].astype(np.float64) - middle) * scale
            own = (rows * cho_solve(factor, rows.reshape(-1, len(middle)).T).T.reshape(rows.shape)).sum(2)
            to_class = own[..., None] - 2 * rows @ weights + (means.T * weights).sum(0)
            found.append(to_class.min(2).mean(1) / max(usual, 1e-12))
        return np.concatenate([*found, np.empty(0)])

    def suited(self, X: ArrayLike, expected: Expected | None = None) -> ViewsClassifier:
        """`adapted` to cells where there are `FEWEST` of them or more, and they are another lab's; else itself."""
        if len(sliceable(X)) < FEWEST or not self.of_another_lab(X):
            return self
        return self.adapted(X, expected=expected)

    def of_another_lab(self, X: ArrayLike) -> bool:
        """Whether the median `distance` of cells is above `UNLIKE`."""
        return bool(np.median(self.distance(X)) > UNLIKE)

    def agreement(self, X: ArrayLike, expected: Expected | None = None) -> float | None:
        """Share of cells, 0-1, to which it and what `suited` gives give one class; None where that is itself."""
        if self.adapted_ or (other := self.suited(X, expected)) is self:
            return None
        return float((self.predict(X) == other.predict(X)).mean())

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of the classes, the mean over the plain views.

        Parameters
        ----------
        X : float array of shape (N, V, F)
            V at least `plain`.

        Returns
        -------
        float array of shape (N, C), columns as in `classes_`
        """
        said = self.first_proba(X)
        if not self.adapted_:
            return said
        return (said + _asked(sliceable(X)[:, : self.plain], self.adapted_coef_, self.adapted_intercept_)) / 2

    def first_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """What it says, or said before it adapted; input and result as for `predict_proba`."""
        check_is_fitted(self, "coef_")
        return _asked(sliceable(X)[:, : self.plain], self.coef_, self.intercept_)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each cell, shape (N,); input as for `predict_proba`."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def _drawn(
        self, X: Any, index: NDArray[np.intp], weight: NDArray[np.float64]
    ) -> tuple[Any, NDArray[np.intp], NDArray[np.float64]]:
        """Cells, views first, such that views aren't more than `MOST`; of each class `KEPT` stay, or what it has."""
        count, keep = len(X), self.MOST // X.shape[1]
        if count <= keep:
            return X, index, weight
        order = np.random.default_rng(self.random_state).permutation(count)
        first = min(KEPT, max(1, keep // len(self.classes_)))
        kept = np.zeros(count, bool)
        for number in range(len(self.classes_)):
            kept[order[index[order] == number][:first]] = True
        rows = np.sort(order[np.argsort(~kept[order], kind="stable")][:keep])
        return X[rows], index[rows], weight[rows]

    def _analysis(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (C, F) and offsets (C,) of the discriminant analysis; a class without a cell is never chosen."""
        middle, scale, within = self._spread()
        apart = (self.means_ - middle) * scale
        weights = cho_solve(cho_factor(within), apart.T).T
        known = self.counts_ > 0
        share = np.where(known, self.counts_, 1) / self.counts_.sum()
        offsets = np.where(known, np.log(share), -np.inf) - 0.5 * (weights * apart).sum(1)
        weights = weights * scale
        return weights, offsets - weights @ middle

    def _join(self, first: ViewsClassifier, learnt: _Moments, weight: float) -> None:
        """Keep the sums of `first` and of what was `learnt`, which weighs `weight` times as much."""
        counts, means, scatter = learnt
        times = weight * first.counts_.sum() / counts.sum()
        counts = times * counts
        self.counts_ = first.counts_ + counts
        apart = means - first.means_
        share = counts / np.maximum(self.counts_, 1e-12)
        self.means_ = first.means_ + share[:, None] * apart
        self.scatter_ = first.scatter_ + times * scatter + (apart.T * (share * first.counts_)) @ apart

    def _spread(self) -> _Moments:
        """Middle and scale of the features (F,), and the shrunk covariance within classes of the scaled ones (F, F)."""
        total = self.counts_.sum()
        middle = self.counts_ @ self.means_ / total
        variance = np.diag(self.scatter_) / total + self.counts_ @ (self.means_ - middle) ** 2 / total
        said = variance > 1e-12 * variance.max()  # a constant says nothing
        scale = np.where(said, 1 / np.sqrt(np.where(said, variance, 1)), 0)
        within = self.scatter_ / total * scale * scale[:, None]
        size = max(float(np.trace(within)) / len(within), 1e-6)
        within *= 1 - self.shrinkage
        within[np.diag_indices_from(within)] += max(self.shrinkage, 1e-6) * size
        return middle, scale, within


def sliceable(X: ArrayLike) -> Any:
    """`X` itself where it can be read in slices, else as an array."""
    return X if getattr(X, "ndim", None) == 3 else np.asarray(X)


def _asked(X: NDArray[np.floating], weights: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of a linear function of views (N, V, F), averaged over the views: (N, C)."""
    found = np.empty((len(X), len(weights)))
    for start in range(0, len(X), CHUNK):
        rows = X[start : start + CHUNK].astype(np.float64)
        found[start : start + CHUNK] = softmax(rows @ weights.T + offsets, axis=2).mean(1)
    return found


def _moments(X: NDArray[np.floating], index: NDArray[np.intp], classes: int, weight: NDArray[np.float64]) -> _Moments:
    """Counts (C,), means (C, F) and scatter within classes (F, F) of the views (N, V, F) that aren't NaN, weighted."""
    width = X.shape[2]
    counts, sums = np.zeros(classes), np.zeros((classes, width))
    for rows, of, weighs in _chunks(X, index, weight):
        marks = np.eye(classes)[of] * weighs[:, None]
        counts += marks.sum(0)
        sums += marks.T @ rows
    means = sums / np.where(counts > 0, counts, 1)[:, None]
    scatter = np.zeros((width, width))
    for rows, of, weighs in _chunks(X, index, weight):
        apart = ((rows - means[of]) * np.sqrt(weighs)[:, None]).astype(np.float32)
        scatter += apart.T @ apart
    return counts, means, scatter


def _chunks(
    X: NDArray[np.floating], index: NDArray[np.intp], weight: NDArray[np.float64]
) -> Iterator[tuple[NDArray, NDArray[np.intp], NDArray[np.float64]]]:
    """Views (M, F) that aren't NaN, the class's index (M,) and the weight (M,) of each, some cells at a time."""
    for start in range(0, len(X), CHUNK):
        rows = X[start : start + CHUNK].astype(np.float64)
        there = ~np.isnan(rows[..., 0])
        of = np.broadcast_to(index[start : start + CHUNK, None], there.shape)
        weighs = np.broadcast_to(weight[start : start + CHUNK, None], there.shape)
        yield rows[there], of[there], weighs[there]
