"""The latent space of the labs and the classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import pairwise_distances
from threadpoolctl import threadpool_limits

from dorl.reporting.figures.style import new_figure, style, write
from dorl.reporting.palette import styles

#: cells that UMAP learns its map from; the rest are placed on the finished map
LEARNT_FROM = 3000
#: the rest are placed on it so many at a time
TOGETHER = 1000
#: cells that UMAP places itself; those beyond lie at the mean place of so many of the cells most like them
PLACED_BY_UMAP, NEAREST = 20_000, 5
#: points of the figure at most
MAX_DRAWN = 20_000
#: with fewer cells than this, neighbourhoods mean nothing and PCA is used
MIN_UMAP_CELLS = 10


def embed_2d(X: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
    """Place features in the plane: UMAP, or PCA for fewer than 10 cells.

    Parameters
    ----------
    X : array of shape (n_cells, n_features)
        Of more than 3,000 cells, a random 3,000 make the map and the rest are placed on it: the first 17,000 of them by
        UMAP, others, where there are so many, at the mean place of their five nearest among the 3,000.
    seed : int, default 0
        Same seed and features, same map.

    Returns
    -------
    float32 array of shape (n_cells, 2)
        Without unit.

    References
    ----------
    McInnes, Healy, Melville, *UMAP*, arXiv 1802.03426.
    """
    X = np.asarray(X, dtype=np.float32)
    if len(X) < MIN_UMAP_CELLS:
        return _pca(X)
    from sklearn.neighbors import NearestNeighbors
    from umap import UMAP

    chosen = np.arange(len(X))
    if len(X) > LEARNT_FROM:
        chosen = np.sort(np.random.default_rng(seed).choice(len(X), LEARNT_FROM, replace=False))
    # numba, which it is compiled by, sets OpenMP to a thread a core, and torch with it: each is put back to what it was
    with threadpool_limits(), warnings.catch_warnings():
        # it remarks that a seed means one thread, and that small data have few neighbours
        warnings.simplefilter("ignore", UserWarning)
        reducer = UMAP(n_components=2, n_neighbors=min(15, len(chosen) - 1), random_state=seed, n_jobs=1)
        placed = np.empty((len(X), 2), dtype=np.float32)
        rest = np.setdiff1d(np.arange(len(X)), chosen)
        if not len(rest):
            reducer.set_params(precomputed_knn=_neighbours(X, reducer.n_neighbors), force_approximation_algorithm=True)
        placed[chosen] = reducer.fit_transform(X[chosen])
        if len(X) > PLACED_BY_UMAP:
            rest = np.random.default_rng(seed).permutation(rest)
        own, others = rest[: PLACED_BY_UMAP - len(chosen)], rest[PLACED_BY_UMAP - len(chosen) :]
        for start in range(0, len(own), TOGETHER):  # it computes the distances of all that it is given
            some = own[start : start + TOGETHER]
            placed[some] = reducer.transform(X[some])
    if len(others):
        nearest = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute").fit(X[chosen])
        for start in range(0, len(others), TOGETHER):
            some = others[start : start + TOGETHER]
            placed[some] = placed[chosen][nearest.kneighbors(X[some], return_distance=False)].mean(1)
    return placed


def _neighbours(X: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Each cell's nearest ones and their distances, (N, count): those that UMAP finds, but it compiles code for them.

    A map of which nothing else is asked needs no more of UMAP's own search.
    """
    from umap.distances import euclidean

    apart = pairwise_distances(X, metric=euclidean)
    nearest = apart.argsort(axis=1)[:, :count]
    return nearest, np.take_along_axis(apart, nearest, 1)


def _pca(X: NDArray[np.float32]) -> NDArray[np.float32]:
    placed = np.zeros((len(X), 2), dtype=np.float32)
    if len(X) > 1:
        left, scale, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
        kept = min(2, len(scale))
        placed[:, :kept] = left[:, :kept] * scale[:kept]
    return placed


def latent_space(embedding: ArrayLike, labs: Sequence[str], classes: Sequence[str | None], path: str | Path) -> None:
    """Draw the cells in the plane twice: coloured by lab, and by class.

    Parameters
    ----------
    embedding : array of shape (n_cells, 2)
        From `embed_2d`.
    labs : sequence of str, shape (n_cells,)
    classes : sequence of str or None, shape (n_cells,)
        None, NaN or "" where unlabelled: drawn grey, beneath the others.
    path : str or Path

    Of more than 20,000 cells so many are drawn by chance, and the figure says so.
    """
    points = np.asarray(embedding, dtype=float)
    named = np.array([name if isinstance(name, str) and name else "" for name in classes], dtype=object)
    legend_of_labs, legend_of_classes = dict.fromkeys(labs), sorted(set(named) - {""})
    of_all = ""
    if len(points) > MAX_DRAWN:
        rows = np.random.default_rng(0).permutation(len(points))[:MAX_DRAWN]
        of_all = f", {MAX_DRAWN} of {len(points)} cells"
        points, named, labs = points[rows], named[rows], np.asarray(labs, dtype=object)[rows].tolist()
    with style():
        figure = new_figure(9.6, 4.6)
        size = float(np.clip(6000 / max(len(points), 1), 4, 30))
        # labs as they come, and so in the colours of the other figures; classes by the alphabet
        by_lab, by_class = np.asarray(labs, dtype=object), named
        # drawn in a shuffled order, else the last lab would hide the others where they overlap
        order = np.random.default_rng(0).permutation(len(points))
        panels = (
            (f"by lab{of_all}", by_lab, legend_of_labs),
            (f"by class{of_all}", by_class, legend_of_classes),
        )
        for axes, (title, names, legend) in zip(figure.subplots(1, 2), panels, strict=True):
            looks = styles(list(legend))
            bare = names == ""
            if bare.any():
                axes.scatter(*points[bare].T, s=size, c="#c8c8c8", linewidths=0, label="unlabelled")
            for marker in dict.fromkeys(look["marker"] for look in looks.values()):
                drawn = [i for i in order if names[i] and looks[names[i]]["marker"] == marker]
                colours = [looks[names[i]]["color"] for i in drawn]
                axes.scatter(*points[drawn].T, s=size, c=colours, marker=marker, linewidths=0, alpha=0.8)
            for name, look in looks.items():
                axes.scatter([], [], s=26, c=look["color"], marker=look["marker"], linewidths=0, label=name)
            axes.set(title=title, xlabel="dimension 1 (no unit)", ylabel="dimension 2 (no unit)")
            axes.set(xticks=[], yticks=[])
            columns = 3 if len(looks) > 4 else 2
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=columns, fontsize=8)
        write(figure, path)
