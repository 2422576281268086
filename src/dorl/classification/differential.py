"""A differential count as laboratories report it: shares of the leukocytes, others per 100 leukocytes, intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dorl import taxonomy

#: columns of `differential`
COLUMNS = ("class", "group", "cells", "share", "low", "high", "low_with_errors", "high_with_errors")
#: groups of classes: those that percentages are taken of, and those that stand apart
LEUKOCYTE, APART = "leukocyte", "apart"
#: what a cell counts as that is unlike all that were learnt, and one whose node of the tree tells no class
UNLIKE, UNCLASSIFIED = "unlike", "unclassified"
#: the least count of leukocytes that laboratories report percentages of
MIN_COUNTED_CELLS = 100
#: steps of expectation maximisation in each draw
STEPS = 10
#: draws of the bootstrap
DRAWS = 2000
#: of the Dirichlet distribution around held-out cells: what stands in each place of the confusion beforehand
PRIOR = 0.5
#: in another lab whole classes are told otherwise than held-out cells were, so that counting more cells tells no more
#: than so many would. Chosen on Acevedo-20's restained cells, and from JTSC and BCCD to it
#: (``tools/measure/differential.py``).
CELLS_ANOTHER = 12


def is_leukocyte(name: str) -> bool:
    """Whether a class or node counts among the leukocytes: not erythroblasts, smudge cells, or cells of no class."""
    return name in taxonomy.NODES and taxonomy.is_a(name, LEUKOCYTE)


def differential(
    named: ArrayLike,
    classes: Sequence[str],
    *,
    confusion: NDArray[np.int64] | None = None,
    another_lab: bool = False,
    slides: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Count cells by class: leukocytes in shares of all leukocytes, others over the leukocytes.

    Of 50 erythroblasts, 40 neutrophils and 10 lymphocytes the neutrophils are 80 % and the lymphocytes 20 %, and there
    are 100 erythroblasts per 100 leukocytes. Each class has two intervals. The first says how far the share among the
    cells counted may be from that in the whole smear, since other cells might have been met (Wilson's); it knows
    nothing of wrong classes. The second covers the classifier's errors, too (`with_errors`), and holds the first.

    A cell of a node above the classes is undecided: it may be of any class below its node. One that is `UNCLASSIFIED`
    may be of any class. Both intervals reach from the lower limit of the share that a class has if none of these cells
    is its own to the upper limit of the share that it has if all are (Manski's bounds).

    Parameters
    ----------
    named : array of str, shape (N,)
        One of `classes` each, another node of the tree, `UNLIKE`, or `UNCLASSIFIED`. `UNLIKE` cells stand apart.
    classes : sequence of str, length C
        Of the classifier. Those without any cell are listed, too.
    confusion : int array of shape (C, C), optional
        Held-out cells by true class and by what the classifier says; without it there is no second interval.
    another_lab : bool
        Whether these cells are another lab's (`dorl.classification.unlike.Unlike.of_another_lab`), so that errors may
        be others than of those held out.
    slides : array of str, shape (N,), optional
        The slide of each cell. Cells of one belong together.
    level : float
        Of the intervals.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        `COLUMNS`, a row a class, leukocytes first. `share` is of the leukocytes, 0-1; in the group `APART` it is cells
        over leukocytes, 0 or more. It is NaN where there is no leukocyte.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 22 (1927); Rümke, *The imprecision of the ratio of two percentages observed in
    differential white blood cell counts*, Blood Cells 11 (1985), on why a count needs an interval; Manski, *Partial
    Identification of Probability Distributions* (2003), chapter 1, on cells of which the class isn't known.
    """
    names = np.asarray(named, dtype=object)
    rows = sorted([*classes, *(set(names.tolist()) - set(classes))], key=_place(classes))
    counts = np.array([int((names == name).sum()) for name in rows], np.int64)
    white = np.array([is_leukocyte(name) for name in rows], bool)
    total = int(counts[white].sum())
    table = pd.DataFrame({"class": pd.Series(rows, dtype=object), "cells": counts}, columns=list(COLUMNS))
    table["group"] = np.where(white, LEUKOCYTE, APART)
    bounds = _bounds(counts, rows, classes)
    limits = _limits(bounds, white, level=level)
    table["share"] = counts / total if total else np.nan
    table["low"], table["high"] = limits.T
    wide = np.full((len(rows), 2), np.nan)
    if confusion is not None and total:
        drawn = with_errors(names, rows, classes, confusion, slides=slides, seed=seed)
        low, high = (
            np.nanquantile(of, q, axis=0) for of, q in zip(drawn, ((1 - level) / 2, (1 + level) / 2), strict=True)
        )
        most = CELLS_ANOTHER if another_lab else None
        few = _limits(bounds, white, level=level, most=most)
        wide = np.column_stack([np.fmin(low, few[:, 0]), np.fmax(high, few[:, 1])])
    table["low_with_errors"], table["high_with_errors"] = wide.T
    return table


def with_errors(
    named: ArrayLike,
    rows: Sequence[str],
    classes: Sequence[str],
    confusion: NDArray[np.int64],
    *,
    slides: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what the shares of the true classes might be: counting and errors in one bootstrap.

    Each draw meets other cells (and other slides, where there are several), takes what the classifier says of a true
    class from a Dirichlet distribution around the held-out cells, finds the mix of true classes that gives what was
    counted (expectation maximisation from there), and draws each cell's true class by Bayes' rule.

    Parameters
    ----------
    named, confusion, slides, seed
        As for `differential`.
    rows : sequence of str, length R
        What is counted; among it all that is `named`. What isn't one of `classes` stays as it is.
    classes : sequence of str, length C
    draws : int

    Returns
    -------
    least, most : float arrays of shape (draws, R)
        Over the leukocytes of each draw, if none and if all of the undecided cells that may be of a row are of it; the
        same where no cell is undecided. NaN where a draw has no leukocyte.
    """
    random = np.random.default_rng(seed)
    place = {name: number for number, name in enumerate(rows)}
    index = np.array([place[name] for name in np.asarray(named, object)], np.int64)
    met = _met(index, len(rows), slides, draws, random)
    own = [place[name] for name in classes]
    found = met.astype(np.float64)
    found[:, own] = _true_classes(met[:, own], confusion, random)
    white = np.array([is_leukocyte(name) for name in rows], bool)
    some = found[:, white].any(1, keepdims=True)
    least, most = (_ratio(cells, np.where(some, of, 0)) for cells, of in _bounds(found, rows, classes))
    return least, most


#: cells of each row, and the leukocytes that they are taken of: of least share, and of most
Bounds = tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]


def _bounds(counts: NDArray[Any], rows: Sequence[str], classes: Sequence[str]) -> Bounds:
    """Cells of each row (…, R) and leukocytes (…, R) if none, and if all, of the undecided cells are the row's."""
    white = np.array([is_leukocyte(name) for name in rows], bool)
    open_ = [name for name in rows if name not in classes and (name in taxonomy.NODES or name == UNCLASSIFIED)]
    may_be = np.array([[name in open_ and _may_be(name, other) for other in rows] for name in rows], bool)
    may_be = may_be.reshape(len(rows), len(rows))
    leukocytes = counts[..., white].sum(-1, keepdims=True)
    outside = counts[..., [name == UNCLASSIFIED for name in rows]].sum(-1, keepdims=True)
    # one that is unclassified may be a leukocyte: of the class asked about, or of another
    of = np.where([name == UNCLASSIFIED for name in rows], leukocytes, leukocytes + outside)
    return (counts, of), (counts + counts @ may_be, np.where(white, of, leukocytes))


def _may_be(undecided: str, name: str) -> bool:
    """Whether a cell of a node that isn't decided may be of another row's class."""
    if name not in taxonomy.NODES or name == undecided:
        return False
    return undecided == UNCLASSIFIED or taxonomy.is_a(name, undecided)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _met(
    index: NDArray[np.int64], size: int, slides: ArrayLike | None, draws: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Cells of each kind that other draws might have met: (draws, size) of kinds (N,)."""
    if slides is not None and len(names := np.unique(np.asarray(slides, str))) > 1:
        of = np.searchsorted(names, np.asarray(slides, str))
        counts = np.zeros((len(names), size), np.int64)
        np.add.at(counts, (of, index), 1)
        return random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws) @ counts
    return random.multinomial(len(index), np.bincount(index, minlength=size) / len(index), size=draws)


def _true_classes(
    met: NDArray[np.int64], confusion: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Cells of each true class (draws, C) of cells called each class (draws, C)."""
    draws, size = met.shape
    rates = np.maximum(random.standard_gamma(confusion + PRIOR, (draws, size, size)), 1e-12)
    rates /= rates.sum(2, keepdims=True)
    mix = (met + PRIOR) / (met + PRIOR).sum(1, keepdims=True)
    for _ in range(STEPS):
        # P(true | called), called first
        true = np.swapaxes(rates * mix[:, :, None], 1, 2)
        true /= true.sum(2, keepdims=True)
        counts = np.einsum("dc,dct->dt", met, true) + PRIOR
        mix = counts / counts.sum(1, keepdims=True)
    return random.multinomial(met, true).sum(1)


def _limits(bounds: Bounds, white: NDArray[np.bool_], *, level: float, most: int | None = None) -> NDArray[np.float64]:
    """Wilson's interval of each class of the leukocytes, of one apart that of its ratio to them: (R, 2).

    Its lower limit is that of the least share, its upper one that of the largest. Of more than `most` cells the
    interval is that which the same share has among so many. All is NaN where there is no leukocyte.
    """
    from scipy.special import ndtri

    (cells, _), _ = bounds
    if not cells[white].sum():
        return np.full((len(white), 2), np.nan)
    found, z = [], ndtri((1 + level) / 2)
    for side, (counts, leukocytes) in zip((-1, 1), bounds, strict=True):
        trials = np.where(white, leukocytes, leukocytes + counts).astype(np.float64)
        share = counts / trials
        if most is not None:
            trials = np.minimum(trials, most)
        middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
        reach = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
        limit = np.clip(middle + side * reach, 0, 1)
        with np.errstate(divide="ignore"):  # of the leukocytes, where it isn't taken
            found.append(np.where(white, limit, limit / (1 - limit)))
    return np.column_stack(found)


def _place(classes: Sequence[str]) -> Callable[[str], tuple[bool, int, int, str]]:
    """Order of rows: leukocytes, then others, those of the classifier first."""
    order = {name: number for number, name in enumerate(classes)}
    last = {UNCLASSIFIED: 1, UNLIKE: 2}
    return lambda name: (not is_leukocyte(name), last.get(name, 0), order.get(name, len(order)), name)
