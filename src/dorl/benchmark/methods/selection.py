"""Settings chosen without a target's label: by held-out source cells, or by a label-free scorer of skada."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedShuffleSplit

from dorl.errors import InputError

S = TypeVar("S")

#: name of a scorer → its class in `skada.metrics`
SCORERS = {
    "entropy": "PredictionEntropyScorer",
    "snd": "SoftNeighborhoodDensity",
    "dev": "DeepEmbeddedValidation",
    "circular": "CircularValidation",
}
#: share of the source cells that settings are compared on
HELD_OUT = 0.25
#: how skada marks a target's cells, and their hidden labels
SOURCE, TARGET, HIDDEN = 1, -2, -1


def split_source(numbers: NDArray[np.int64], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to learn from and to hold out, stratified by class number (N,); classes of a single cell are learnt from."""
    counts = np.bincount(numbers)
    rare = np.flatnonzero(counts[numbers] < 2)
    common = np.flatnonzero(counts[numbers] >= 2)
    kinds = len(set(numbers[common].tolist()))
    held = max(kinds, round(HELD_OUT * len(common)))
    if kinds < 2 or len(common) - held < kinds:
        raise InputError("too few source cells to choose a setting with: give two classes of four cells or more")
    parts = StratifiedShuffleSplit(1, test_size=held, random_state=seed).split(common, numbers[common])
    learn, hold = next(iter(parts))
    return np.sort(np.concatenate([common[learn], rare])), common[hold]


def choose_on_source(
    candidates: Sequence[S], evaluate: Callable[[S], NDArray[Any]], true: NDArray[Any]
) -> tuple[S, list[float]]:
    """The candidate with the best balanced accuracy on held-out source cells; the first of equals.

    Parameters
    ----------
    candidates : sequence
    evaluate : callable
        From a candidate to its predictions of the held-out cells (K,).
    true : array of shape (K,)

    Returns
    -------
    candidate, scores
    """
    scores = [float(balanced_accuracy_score(true, evaluate(candidate))) for candidate in candidates]
    return candidates[int(np.argmax(scores))], scores


def choose_without_labels(
    candidates: Sequence[S],
    fit: Callable[[S, NDArray[np.intp]], tuple[Any, NDArray[np.float32], NDArray[np.float32]]],
    numbers: NDArray[np.int64],
    *,
    scorer: str,
    seed: int,
) -> tuple[S, str]:
    """The candidate that a label-free scorer prefers.

    Parameters
    ----------
    candidates : sequence
        Where there is one only, it is taken as it is.
    fit : callable
        From a candidate and the source rows to learn from to a fitted estimator of skada and the features that it was
        made for: of all source cells (N, D) and of the target's (M, D).
    numbers : int array of shape (N,)
        The source's classes.
    scorer : str
        One of `SCORERS`.
    seed : int
        Of the source cells held out: scorers that use source labels (deep embedded validation, circular) see cells
        that the estimator hasn't learnt.

    Returns
    -------
    candidate, chosen_by

    References
    ----------
    Morerio et al. 2018 (entropy); Saito et al. 2021, arXiv 2108.10860 (soft neighbourhood density); You et al. 2019
    (deep embedded validation); Bruzzone & Marconcini 2010 (circular).
    """
    if len(candidates) == 1:
        return candidates[0], "fixed beforehand"
    import skada.metrics

    name = SCORERS[scorer]
    score = getattr(skada.metrics, name)(**({"random_state": seed} if scorer == "dev" else {}))
    learn, held = split_source(numbers, seed)
    values = []
    for candidate in candidates:
        estimator, source, target = fit(candidate, learn)
        X = np.concatenate([source[held], target])
        y = np.concatenate([numbers[held], np.full(len(target), HIDDEN)])
        domain = np.concatenate([np.full(len(held), SOURCE), np.full(len(target), TARGET)])
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of the scorers' own classifiers
            value = float(score(estimator, X, y, sample_domain=domain))
        values.append(value if np.isfinite(value) else -np.inf)
    return candidates[int(np.argmax(values))], f"skada's {name}"
