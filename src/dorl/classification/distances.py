"""How far apart labs are: what tells their cells from each other, whatever the classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

#: cells of a lab that are compared at most, the same number of both labs of a pair
MAX_CELLS = 500
#: with fewer cells in a lab nothing is said of it
MIN_DISTANCE_CELLS = 20
#: parts of a pair's cells, each asked about by a classifier that learnt the others
FOLDS = 5
#: columns of `lab_distances`
COLUMNS = ("first", "second", "cells", "mmd", "told_apart", "proxy_a")
#: a lab is unlike the others if its nearest one lies further than this times the widest gap among the others
TIMES_FURTHER = 1.5


def drawn_cells(labs: ArrayLike, *, seed: int = 0, most: int = MAX_CELLS) -> NDArray[np.intp]:
    """Row numbers, ascending, of at most `most` cells of each lab, drawn by the seed; `labs` has each cell's, (N,)."""
    labs = np.asarray(labs).astype(str)
    rows = []
    for number, name in enumerate(np.unique(labs)):
        rows.append(np.random.default_rng([seed, number]).permutation(np.flatnonzero(labs == name))[:most])
    return np.sort(np.concatenate([*rows, np.empty(0, np.intp)])).astype(np.intp)


def lab_distances(labs: Mapping[str, ArrayLike], *, seed: int = 0) -> pd.DataFrame:
    """Compare each lab with each other.

    Of both labs of a pair the same number of cells is drawn, `MAX_CELLS` at most, so that an accuracy of one half means
    that nothing tells them apart. Labs that have other classes are apart for that alone.

    Parameters
    ----------
    labs : mapping of name to float array of shape (n_cells, n_features)
        Of one width.
    seed : int, default 0
        Of the draw and of the folds.

    Returns
    -------
    DataFrame
        `COLUMNS`, a row a pair of labs of `MIN_DISTANCE_CELLS` cells or more: names; cells drawn of each; ``mmd``, the
        maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel as wide as the median distance of all
        labs' cells, the unbiased estimate, not below 0; ``told_apart``, the share of held-out cells that a logistic
        regression gives to their own lab, 0-1; ``proxy_a``, the proxy A-distance 2·(1 − 2·error) of that classifier,
        from 0 (no telling) to 2 (always told).

    References
    ----------
    Gretton et al., *A Kernel Two-Sample Test*, JMLR 13 (2012).
    Ben-David et al., *Analysis of Representations for Domain Adaptation*, NIPS 2006 (proxy A-distance).
    """
    given = {name: np.asarray(X, np.float64) for name, X in labs.items() if len(np.asarray(X)) >= MIN_DISTANCE_CELLS}
    if len(given) < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    drawn = {
        name: X[np.random.default_rng([seed, number]).permutation(len(X))[:MAX_CELLS]]
        for number, (name, X) in enumerate(given.items())
    }
    scaler = StandardScaler().fit(np.concatenate(list(drawn.values())))
    scaled = {name: scaler.transform(X) for name, X in drawn.items()}
    gamma = _gamma(np.concatenate([X[:200] for X in scaled.values()]))
    rows = []
    for first, second in combinations(scaled, 2):
        count = min(len(scaled[first]), len(scaled[second]))
        a, b = scaled[first][:count], scaled[second][:count]
        accuracy = _told_apart(a, b, seed)
        rows.append((first, second, count, mmd(a, b, gamma), accuracy, max(0.0, 2 * (2 * accuracy - 1))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def unlike_all_others(distances: pd.DataFrame) -> list[str]:
    """Labs whose nearest lab lies `TIMES_FURTHER` times further, by ``mmd``, than any two others from each other.

    Parameters
    ----------
    distances : DataFrame
        From `lab_distances`. Of fewer than three labs nothing can be said.
    """
    names = list(dict.fromkeys([*distances["first"], *distances["second"]]))
    found = []
    for name in names:
        own = (distances["first"] == name) | (distances["second"] == name)
        among_others = distances.loc[~own, "mmd"]
        if len(among_others) and distances.loc[own, "mmd"].min() > TIMES_FURTHER * among_others.max():
            found.append(name)
    return found


def mmd(a: NDArray[np.float64], b: NDArray[np.float64], gamma: float) -> float:
    """Maximum mean discrepancy of two samples (N, F), (M, F) with the kernel exp(−gamma·distance²); 0 or more."""
    within = 0.0
    for X in (a, b):
        kernel = rbf_kernel(X, gamma=gamma)
        within += (kernel.sum() - np.trace(kernel)) / max(1, len(X) * (len(X) - 1))
    return float(np.sqrt(max(0.0, within - 2 * rbf_kernel(a, b, gamma=gamma).mean())))


def _gamma(X: NDArray[np.float64]) -> float:
    """Of a kernel whose width is the median distance of the rows."""
    squared = euclidean_distances(X, squared=True)[np.triu_indices(len(X), 1)]
    return 1 / (2 * max(float(np.median(squared)), 1e-12))


def _told_apart(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> float:
    X, y = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float((cross_val_predict(model, X, y, cv=folds) == y).mean())
