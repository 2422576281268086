"""Sums that linear discriminant analysis is made of: learnt slice by slice, weighted, and joined from lab to lab.

Scikit-learn's own analysis takes no weights, needs all rows at once, and can't go on from what it has learnt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import softmax

#: cells that are read at once
CHUNK = 512
#: of the covariance within classes, of standardised features, towards a multiple of the identity
SHRINKAGE = 0.1

#: float64 array
Array = NDArray[np.float64]


class Moments(NamedTuple):
    """What was learnt of some classes, or clusters.

    Attributes
    ----------
    counts : float array of shape (C,)
        Views of each, weighted.
    means : float array of shape (C, F)
    scatter : float array of shape (F, F)
        Sum of the outer products of the views' distances from their class's mean.
    """

    counts: Array
    means: Array
    scatter: Array

    @classmethod
    def of(
        cls, X: Any, index: NDArray[np.intp], classes: int, weight: Array | None = None, *, skip: int = 0
    ) -> Moments:
        """Of views (N, V, skip + F) that aren't NaN, by the index (N,) of each cell's class, and its weight (N,)."""
        weight = np.ones(len(X)) if weight is None else weight
        counts, means = class_means(X, index, classes, weight, skip=skip)
        scatter = np.zeros((means.shape[1], means.shape[1]))
        for rows, of, weighs in chunks(X, index, weight, skip):
            apart = ((rows - means[of]) * np.sqrt(weighs)[:, None]).astype(np.float32)
            scatter += apart.T @ apart
        return cls(counts, means, scatter)

    def joined(self, other: Moments, weight: float) -> Moments:
        """These and the `other`, all views of which weigh so much together; a view of these weighs 1."""
        times = weight / other.counts.sum()
        learnt = times * other.counts
        counts = self.counts + learnt
        apart = other.means - self.means
        share = learnt / np.maximum(counts, 1e-12)
        means = self.means + share[:, None] * apart
        scatter = self.scatter + times * other.scatter + (apart.T * (share * self.counts)) @ apart
        return Moments(counts, means, scatter)

    def spread(self, shrinkage: float = SHRINKAGE) -> tuple[Array, Array, Array]:
        """Middle and scale of the features (F,), and the shrunk covariance within classes of the scaled ones (F, F)."""
        total = self.counts.sum()
        middle = self.counts @ self.means / total
        variance = np.diag(self.scatter) / total + self.counts @ (self.means - middle) ** 2 / total
        telling = variance > 1e-12 * variance.max()  # a constant tells nothing
        scale = np.where(telling, 1 / np.sqrt(np.where(telling, variance, 1)), 0)
        return middle, scale, shrunk(self.scatter / total * scale * scale[:, None], shrinkage)

    def analysis(self, shrinkage: float = SHRINKAGE) -> tuple[Array, Array]:
        """Weights (C, F) and offsets (C,) of the discriminant analysis; a class without a cell is never chosen.

        References
        ----------
        Friedman, *Regularized discriminant analysis*, J. Am. Stat. Assoc. 84 (1989).
        """
        middle, scale, within = self.spread(shrinkage)
        apart = (self.means - middle) * scale
        weights = cho_solve(cho_factor(within), apart.T).T
        known = self.counts > 0
        share = np.where(known, self.counts, 1) / self.counts.sum()
        offsets = np.where(known, np.log(share), -np.inf) - 0.5 * (weights * apart).sum(1)
        weights = weights * scale
        return weights, offsets - weights @ middle


def class_means(X: Any, index: NDArray[np.intp], classes: int, weight: Array, *, skip: int = 0) -> tuple[Array, Array]:
    """Counts (C,) and means (C, F) of views; arguments as for `Moments.of`."""
    counts, sums = np.zeros(classes), np.zeros((classes, X.shape[2] - skip))
    for rows, of, weighs in chunks(X, index, weight, skip):
        marks = np.eye(classes)[of] * weighs[:, None]
        counts += marks.sum(0)
        sums += marks.T @ rows
    return counts, sums / np.where(counts > 0, counts, 1)[:, None]


def shrunk(covariance: Array, shrinkage: float) -> Array:
    """A covariance (F, F), shrunk by a share of 0 to 1 towards a multiple of the identity: one that can be inverted."""
    size = max(float(np.trace(covariance)) / len(covariance), 1e-6)
    return (1 - shrinkage) * covariance + max(shrinkage, 1e-6) * size * np.eye(len(covariance))


def whitening(covariance: Array, scale: Array) -> Array:
    """What rows are multiplied by so that their covariance is the identity: (F, F).

    Parameters
    ----------
    covariance : float array of shape (F, F)
        Of the rows times `scale`; it can be inverted.
    scale : float array of shape (F,)
    """
    return solve_triangular(cholesky(covariance, lower=True), np.diag(scale), lower=True).T


def asked(X: NDArray[np.floating], weights: Array, offsets: Array) -> Array:
    """Softmax of a linear function of views (N, V, F), averaged over the views: (N, C)."""
    found = np.empty((len(X), len(weights)))
    for start in range(0, len(X), CHUNK):
        rows = np.asarray(X[start : start + CHUNK], np.float64)
        found[start : start + CHUNK] = told(rows, weights, offsets).mean(1)
    return found


def told(rows: Array, weights: Array, offsets: Array) -> Array:
    """Softmax of a linear function of views: (n, V, C) of (n, V, F)."""
    return np.asarray(softmax(rows @ weights.T + offsets, axis=2))


def surest(probabilities: Array, share: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The likeliest class of each cell (N,), and whether the cell is among the surest `share` of that class (N,)."""
    index, sure = probabilities.argmax(1), probabilities.max(1)
    chosen = np.zeros(len(index), bool)
    for number in np.unique(index):
        members = index == number
        chosen |= members & (sure >= np.quantile(sure[members], 1 - share))
    return index, chosen


def sliceable(X: ArrayLike) -> Any:
    """`X` itself where it can be read in slices, else as an array."""
    return X if getattr(X, "ndim", None) == 3 else np.asarray(X)


def chunks(
    X: Any, index: NDArray[np.intp], weight: Array, skip: int = 0
) -> Iterator[tuple[NDArray[Any], NDArray[np.intp], Array]]:
    """Views (M, F) that aren't NaN, the class's index (M,) and the weight (M,) of each, some cells at a time."""
    for start in range(0, len(X), CHUNK):
        rows = np.asarray(X[start : start + CHUNK], np.float64)[..., skip:]
        there = ~np.isnan(rows[..., 0])
        of = np.broadcast_to(index[start : start + CHUNK, None], there.shape)
        weighs = np.broadcast_to(weight[start : start + CHUNK, None], there.shape)
        yield rows[there], of[there], weighs[there]
