"""Which unlabelled cells to label first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

#: components of the features that cells are grouped by
COMPONENTS = 32
#: share of a group's cells, the nearest to its middle, that the least certain one is taken from
TYPICAL = 0.5
#: cells above which groups are found batch by batch
MAX_WHOLE_CELLS = 20_000


def select_cells(
    features: NDArray[np.floating], probabilities: NDArray[np.floating] | None, count: int, *, seed: int = 0
) -> NDArray[np.intp]:
    """Choose cells whose labels would help a classifier most.

    With few labels, cells that stand for many others help more than odd ones (Hacohen et al. 2022, "Active Learning on
    a Budget", arXiv 2202.02794): the cells are grouped by their features (k-means), and of the typical half of each
    group the one is taken that the classifier is least certain of.

    Parameters
    ----------
    features : float array of shape (N, D)
    probabilities : float array of shape (N, C), optional
        Of the classes, 0-1; without them the cell nearest the middle of each group is taken.
    count : int
        How many, above 0.
    seed : int

    Returns
    -------
    int array of shape (min(count, N),)
        Rows, those that stand for most cells first.
    """
    total = len(features)
    if total <= count:
        return np.arange(total)
    scaled = StandardScaler().fit_transform(np.asarray(features, np.float64))
    small = PCA(min(COMPONENTS, *scaled.shape), random_state=seed).fit_transform(scaled)
    kind = KMeans if total <= MAX_WHOLE_CELLS else MiniBatchKMeans
    groups = kind(count, n_init=3, random_state=seed).fit(small)
    away = np.linalg.norm(small - groups.cluster_centers_[groups.labels_], axis=1)
    doubt = np.zeros(total)
    if probabilities is not None:
        safe = np.clip(probabilities, 1e-9, 1)
        doubt = -(safe * np.log(safe)).sum(1)
    chosen: list[tuple[int, int]] = []
    for group in range(count):
        members = np.flatnonzero(groups.labels_ == group)
        if len(members):
            near = members[np.argsort(away[members], kind="stable")][: max(1, round(TYPICAL * len(members)))]
            chosen.append((-len(members), int(near[np.argmax(doubt[near])])))
    rows = [row for _, row in sorted(chosen)]
    # identical cells leave groups empty: fill up with what is nearest the middle of any
    rest = np.setdiff1d(np.arange(total), rows)
    rows += rest[np.argsort(away[rest], kind="stable")][: count - len(rows)].tolist()
    return np.array(rows, np.intp)
