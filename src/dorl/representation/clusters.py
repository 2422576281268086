"""Clusters among one lab's cells, found without labels: the classes are plain to see in the right space.

In the space in which restaining a cell moves it alike in all directions, what is left are differences between cells.
There, 16 clusters of one lab's cells hold cells of one class in 86 to 97 % (docs/views.md).
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from dorl.representation.discriminant import Array, shrunk, whitening

#: of what restaining changes, towards a multiple of the identity: what restaining leaves alone isn't blown up
SHRINKAGE = 0.3
#: principal components of a lab's cells that clusters are looked for in
COMPONENTS = 48
#: dimensions that `cell_space` keeps
KEPT = 128
#: cells of a cluster, on average, and how many times clusters are looked for
CELLS, TIMES = 8, 5


def cell_space(views: NDArray[np.floating], plain: int) -> Array:
    """The space in which one lab's cells form clusters: (F, K), by which descriptions are multiplied.

    Directions in which the views of a cell differ are shrunk, those in which cells differ stay: whitening by the
    covariance within cells. Of that space, the first principal components of the cells are kept.

    Parameters
    ----------
    views : float array of shape (N, V, F)
        Descriptions of views of each cell, the plain ones first; a view that is NaN is passed over.
    plain : int

    References
    ----------
    Hatch et al., *Within-class covariance normalization*, Interspeech 2006, with each cell as a class of its own.
    """
    own, scale, within = within_cells(views, plain)
    white = whitening(shrunk(within, SHRINKAGE), scale)
    placed = (own - own.mean(0)) @ white
    if len(placed) < len(white):
        axes = np.linalg.svd(placed, full_matrices=False)[2]
    else:
        axes = np.linalg.eigh(placed.T @ placed)[1].T[::-1]
    return white @ axes[:KEPT].T


def within_cells(views: NDArray[np.floating], plain: int) -> tuple[Array, Array, Array]:
    """What restaining changes: cells, the scale of the features, and the covariance of scaled views within cells.

    Parameters
    ----------
    views, plain
        As for `cell_space`. Where no view is restained, the plain ones are compared.

    Returns
    -------
    own : float64 array of shape (N, F)
        Mean over the plain views of each cell.
    scale : float64 array of shape (F,)
        One over the deviation of all views; 0 for a constant.
    covariance : float64 array of shape (F, F)
    """
    own = np.asarray(views[:, :plain], np.float64).mean(1)
    there = ~np.isnan(views[..., 0])
    deviation = views[there].astype(np.float64).std(0)
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    within, count = np.zeros((len(scale), len(scale))), 0
    first = plain if there[:, plain:].any() else 0
    for number in range(first, views.shape[1]):
        rows = there[:, number]
        apart = ((views[rows, number] - own[rows]) * scale).astype(np.float32)
        within += apart.T @ apart
        count += int(rows.sum())
    return own, scale, within / max(1, count)


class Clusters:
    """Clusters of one lab's cells, looked for several times.

    Parameters
    ----------
    descriptions : float array of shape (N, F)
        Of the cells, by their plain views.
    space : float array of shape (F, K)
        From `cell_space`, of these or of other cells.
    seed : int
    """

    def __init__(self, descriptions: NDArray[np.floating], space: Array, seed: int = 0) -> None:
        placed = (np.asarray(descriptions, np.float64) - np.mean(descriptions, 0, dtype=np.float64)) @ space
        self._seed = seed
        if len(placed) > 1:
            with np.errstate(invalid="ignore"):  # cells may all be equal
                placed = PCA(min(COMPONENTS, *placed.shape), random_state=seed).fit_transform(placed)
        self._placed = placed
        count = max(1, len(placed) // CELLS)
        self._times = [self.found(count, number) for number in range(TIMES)]

    def found(self, count: int, number: int = 0) -> NDArray[np.intp]:
        """The cluster of each cell (N,), of so many, or fewer where there are fewer cells."""
        count = min(count, len(self._placed))
        means = KMeans(count, n_init=2, random_state=self._seed + number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of equal cells there are fewer clusters
            return np.asarray(means.fit_predict(self._placed), np.intp)

    def agreed(self, probabilities: Array) -> Array:
        """Of each cell, the mean of the probabilities (N, C) of the cells in its cluster: (N, C).

        So cells that look alike to each other are given one class, whatever few of them look like to a classifier that
        has learnt in another lab.
        """
        found = np.zeros_like(probabilities)
        for of in self._times:
            sums = np.zeros((of.max() + 1, probabilities.shape[1]))
            np.add.at(sums, of, probabilities)
            found += (sums / np.bincount(of)[:, None])[of]
        return found / len(self._times)
