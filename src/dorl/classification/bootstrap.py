"""How sure a score is, and whether two classifiers differ on the same cells.

Cells of one patient are alike, so that patients are drawn and not cells wherever they are known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.sparse import coo_array
from scipy.special import expit, logit

from dorl.classification.metrics import SCORES, scores_of

#: bootstrap samples, and the share of intervals that shall hold the true value
DRAWS, LEVEL = 2000, 0.95
#: numbers that are held at once while drawing
ROOM = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A score, 0-1, with the limits of its interval; all NaN where no cell was asked about."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How far two classifiers are apart on the same cells.

    Parameters
    ----------
    value, low, high : float
        Accuracy of the first less that of the second, -1 to 1, and its interval.
    p_bootstrap, p_mcnemar : float
        Two-sided, of the hypothesis that they are equally good.
    """

    value: float
    low: float
    high: float
    p_bootstrap: float
    p_mcnemar: float

    @property
    def p(self) -> float:
        """The larger of the two: both tests have to tell the classifiers apart."""
        return max(self.p_bootstrap, self.p_mcnemar)


def score_intervals(
    true: ArrayLike,
    predicted: ArrayLike,
    count: int,
    units: ArrayLike | None = None,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """`SCORES` of one classifier, or the mean over those of several folds, each with its bootstrap interval.

    Units (patients, or cells where none are known) are drawn with replacement. The interval is the standard one, by
    the standard deviation of the draws, on the scale of the logit, with Student's distribution for few units: near 0
    and 1 and for few patients percentiles of the draws lie too close. It covers which cells and patients were met; it
    doesn't cover that a classifier could have learnt from others.

    Where every draw has the same score, for example since all answers are right, or all of one class and none of
    another, the bootstrap says nothing. Then the limits are those of `_unvaried`, which are exact. Of a single unit
    whose answers are neither all right nor all wrong nothing is known.

    Parameters
    ----------
    true : int array of shape (N,)
        Number of each cell's class, 0 to `count` - 1.
    predicted : int array of shape (N,) or (F, N)
        The answers of F classifiers; `count` for an answer that is none of the classes, -1 where one wasn't asked.
    count : int
        How many classes there are.
    units : int array of shape (N,), optional
        The same number for cells that belong together; each cell is a unit of its own otherwise.
    draws, level, seed
        How many samples are drawn, of which share the interval holds the true value, and by what the draws are.

    Returns
    -------
    dict of str to Interval

    References
    ----------
    Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapters 12 (intervals on another scale) and 6;
    Field and Welsh, *Bootstrapping clustered data*, J. R. Stat. Soc. B 69 (2007); Hanley and Lippman-Hand, *If nothing
    goes wrong, is everything all right?*, JAMA 249 (1983), on draws that never differ.
    """
    true, answers = np.asarray(true, np.int64), np.atleast_2d(np.asarray(predicted, np.int64))
    units = np.arange(len(true)) if units is None else np.asarray(units)
    asked = (answers >= 0).any(axis=0)
    true, answers, units = true[asked], answers[:, asked], units[asked]
    if not len(true):
        return dict.fromkeys(SCORES, Interval(math.nan, math.nan, math.nan))
    folds, shape = len(answers), (count, count + 1)
    size = shape[0] * shape[1]
    places = np.where(answers >= 0, np.arange(folds)[:, None] * size + true * shape[1] + answers, -1)
    table, weights, number = _units(places, units, folds * size)

    def mean(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        found = scores_of(counts.reshape(-1, folds, *shape))
        there = ~np.isnan(found)  # a fold of few units may be left without a cell
        return np.where(there, found, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)

    # (units, places) by (draws, units), of which the first has many noughts
    totals = table.T @ weights
    values = mean(totals[None])[0]
    some = max(1, ROOM // max(table.shape[0], folds * size))
    drawn = np.concatenate([mean((table.T @ of.T).T) for of in _drawn(weights, number, draws, some, seed)])
    reach = _reach(number, level)
    steady: NDArray[np.float64] | None = None
    found = {}
    for place, name in enumerate(SCORES):
        value, spread = float(values[place]), float(drawn[:, place].std())
        if spread < 1e-12 or not 0 < value < 1:
            if number < 2 and 0 < value < 1:
                low, high = 0.0, 1.0
            else:
                steady = _unvaried(totals.reshape(folds, *shape), true, units, level) if steady is None else steady
                low, high = (float(limit) for limit in steady[place])
        else:
            wide = reach * spread / (value * (1 - value))
            low, high = (float(expit(logit(value) + side * wide)) for side in (-1, 1))
        found[name] = Interval(value, low, high)
    return found


def compare(
    first: ArrayLike,
    second: ArrayLike,
    units: ArrayLike | None = None,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference:
    """Whether two classifiers differ on the same cells: a paired bootstrap and McNemar's exact test.

    The bootstrap draws units; its interval and its p are those of the difference and the standard deviation of its
    draws, by Student's distribution with a degree of freedom less than there are units. McNemar's test counts the
    cells that only one of the two has right, and knows nothing of units.

    Parameters
    ----------
    first, second : array of shape (N,)
        Whether each cell's answer is right; or the share of several folds' answers that are, 0-1, which counts as right
        in McNemar's test where it is above a half.
    units, draws, level, seed
        As for `score_intervals`.

    References
    ----------
    McNemar, Psychometrika 12 (1947); Dietterich, *Approximate statistical tests for comparing supervised
    classification learning algorithms*, Neural Comput. 10 (1998); Field and Welsh 2007 as above.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not len(a):
        return Difference(*(math.nan,) * 5)
    gaps = a - b
    units = np.arange(len(gaps)) if units is None else np.asarray(units)
    _, unit = np.unique(units, return_inverse=True)
    each = np.stack([np.bincount(unit, weights=gaps).round(9), np.bincount(unit)], axis=1)
    kinds, weights = np.unique(each, axis=0, return_counts=True)
    number, value = int(weights.sum()), float(gaps.mean())
    some = max(1, ROOM // len(kinds))
    sums = np.concatenate([of @ kinds for of in _drawn(weights, number, draws, some, seed)])
    drawn = sums[:, 0] / sums[:, 1]
    spread = float(drawn.std())
    if number < 2:
        return Difference(value, -1.0, 1.0, 1.0, mcnemar(a > 0.5, b > 0.5))
    reach = _reach(number, level) * spread
    low, high = max(-1.0, value - reach), min(1.0, value + reach)
    if abs(value) < 1e-12:
        p = 1.0
    else:
        wide = spread * math.sqrt(number / (number - 1))
        p = 2 * float(stats.t.sf(abs(value) / wide, number - 1)) if wide > 1e-12 else 0.0
    return Difference(value, low, high, p, mcnemar(a > 0.5, b > 0.5))


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p of McNemar's exact test of two arrays (N,) of right and wrong; 1 where they never differ."""
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    only = int((a & ~b).sum()), int((b & ~a).sum())
    return float(stats.binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's correction of several p values (N,); NaN is passed over.

    References
    ----------
    Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Stat. 6 (1979).
    """
    values = np.asarray(p, np.float64)
    found = np.full(len(values), np.nan)
    there = np.flatnonzero(~np.isnan(values))
    order = there[np.argsort(values[there], kind="stable")]
    found[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return found


def _units(places: NDArray[np.int64], units: NDArray[np.int64], size: int) -> tuple[coo_array, NDArray[np.int64], int]:
    """Counts of each unit (U, size), how often each stands there, and how many units there are in all.

    Units that consist of a cell each are joined where they are the same.
    """
    _, unit = np.unique(units, return_inverse=True)
    number = int(unit.max()) + 1
    if number == len(unit):
        kinds, weights = np.unique(places, axis=1, return_counts=True)
        places, unit = kinds, np.arange(kinds.shape[1])
    else:
        weights = np.ones(number, np.int64)
    rows = np.broadcast_to(unit, places.shape)[places >= 0]
    columns = places[places >= 0]
    table = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(weights), size)).tocsr()
    return table, weights, number


def _drawn(weights: NDArray[np.int64], number: int, draws: int, some: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each kind of unit is drawn, (some, kinds) at a time, `draws` in all."""
    generator = np.random.default_rng(seed)
    shares = weights / weights.sum()
    for start in range(0, draws, some):
        yield generator.multinomial(number, shares, size=min(some, draws - start))


def _reach(number: int, level: float) -> float:
    """Standard deviations of the draws to either side, for so many units; infinite for one."""
    if number < 2:
        return math.inf
    return float(stats.t.ppf((1 + level) / 2, number - 1)) * math.sqrt(number / (number - 1))


def _unvaried(
    counts: NDArray[np.float64], true: NDArray[np.int64], units: NDArray[np.int64], level: float
) -> NDArray[np.float64]:
    """Limits of `SCORES` (3, 2) where all n units of a class were answered alike; counts (F, C, C + 1).

    Units of a class that are answered in this way are a share q of all. If q were below t, the n-th root of
    (1 - level) / 2, n of n would be met less often than that (Clopper and Pearson's limit of n in n). So a share t at
    least of the class is answered as here, and the rest may be all right or all wrong. Scores of several classes take
    the limits of all classes together: a score beyond them needs one class whose share is below its t. A class's F1 is
    lowest where the rest of all others is taken for it.
    """
    share = np.zeros(counts.shape[1])
    for kind in np.unique(true):
        share[kind] = ((1 - level) / 2) ** (1 / len(np.unique(units[true == kind])))
    actual, hits = counts.sum(-1), np.diagonal(counts, axis1=-2, axis2=-1)
    claimed = counts[..., :-1].sum(-2)
    present = actual > 0
    rest = (1 - share) * actual
    fewest, most = share * hits, share * hits + rest
    from_others = rest.sum(-1, keepdims=True) - rest
    with np.errstate(invalid="ignore", divide="ignore"):
        recalls = fewest / actual, most / actual
        f1 = 2 * fewest / (actual + claimed + from_others), 2 * most / (actual + most)
        by_class = [[np.where(present, of, 0).sum(-1) / present.sum(-1) for of in score] for score in (recalls, f1)]
        right = hits.sum(-1) / actual.sum(-1)
    met = ((1 - level) / 2) ** (1 / len(np.unique(units)))
    every = [[met * right, 1 - met * (1 - right)], *by_class]
    return np.array([[np.nanmean(limit) for limit in score] for score in every])
