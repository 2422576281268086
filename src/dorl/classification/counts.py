"""A differential count: how many cells of each class, and how sure a share of so few cells can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

#: columns of `differential`
COLUMNS = ("class", "cells", "share", "low", "high")


def differential(predicted: ArrayLike, classes: Sequence[str], *, level: float = 0.95) -> pd.DataFrame:
    """Count cells by class, each share with Wilson's interval.

    The interval says how far the share among the cells counted may be from that in the whole smear, since other cells
    might have been met: it knows nothing of wrong classes. Each class has an interval of its own.

    Parameters
    ----------
    predicted : array of str, shape (N,)
        Each one of `classes`.
    classes : sequence of str
        Those without any cell are listed, too.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        `COLUMNS`, a row a class; shares from 0 to 1, NaN where there is no cell at all.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 22 (1927); Rümke, *The imprecision of the ratio of two percentages observed in
    differential white blood cell counts*, Blood Cells 11 (1985), on why a count needs one.
    """
    from scipy.stats import binomtest

    names = np.asarray(predicted, dtype=object)
    rows: list[tuple[str, int, float, float, float]] = []
    for name in classes:
        count = int((names == name).sum())
        if not len(names):
            rows.append((name, 0, np.nan, np.nan, np.nan))
            continue
        interval = binomtest(count, len(names)).proportion_ci(level, method="wilson")
        rows.append((name, count, count / len(names), float(interval.low), float(interval.high)))
    return pd.DataFrame(rows, columns=list(COLUMNS))
