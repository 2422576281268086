"""Two readers of the same smears: a manual differential beside another one, class by class."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from dorl.classification.differential import is_leukocyte
from dorl.classification.intervals import BLOOD
from dorl.taxonomy import NODES, SharedLevel, shared_level

#: columns of `compared`, and of `agreement`
COMPARED = (
    *("sample", "class", "cells", "of", "share", "manual_cells", "manual_of", "manual_share"),
    *("low", "high", "within", "p"),
)
AGREEMENT = (
    *("class", "samples", "within", "mean_difference", "sd_difference", "correlation", "slope", "intercept"),
    *("abnormal", "sensitivity", "specificity", "overall"),
)
#: with fewer samples nothing is said of their differences
MIN_COMPARED_SAMPLES = 3


def rumke_limits(count: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Limits between which the true share lies, by Rümke's tables: the exact ones of Clopper and Pearson, 0-1.

    Rümke gives them in whole per cent, rounded outwards: of 100 cells, 5: 1 to 12 %.

    References
    ----------
    Rümke, *The statistically expected variability in differential leukocyte counting*, in: Differential Leukocyte
    Counting, College of American Pathologists 1978; Clopper and Pearson, Biometrika 26 (1934).
    """
    low, high = _limits(np.array([count]), total, level)
    return float(low[0]), float(high[0])


def compared(ours: pd.DataFrame, manual: pd.DataFrame) -> pd.DataFrame:
    """Each class of each sample that both readers counted.

    Parameters
    ----------
    ours, manual : DataFrame
        ``sample``, ``class`` (a node of the tree) and ``cells``. Classes are compared at the finest level that both
        name; what has no counterpart, for example unlike cells, is left out.

    Returns
    -------
    DataFrame
        `COMPARED`. Shares are of the leukocytes; of another class, of it and the leukocytes. `low` and `high` are
        Rümke's limits of the manual share, `within` says whether ours lies in them, and `p` is that of Fisher's exact
        test that both counted the same share.
    """
    from scipy.stats import fisher_exact

    # of a class that nobody met it isn't known how finely it would have been told
    level = shared_level(*(_met(table) for table in (ours, manual)))
    tables = [_counted(table[table["class"].isin(NODES)], level) for table in (ours, manual)]
    rows = []
    for sample in [name for name in tables[0] if name in tables[1]]:
        mine, theirs = (table[sample] for table in tables)
        for name in sorted({*mine, *theirs}, key=lambda name: (not is_leukocyte(name), name)):
            counts = [one.get(name, 0) for one in (mine, theirs)]
            totals = [sum(n for other, n in one.items() if is_leukocyte(other)) for one in (mine, theirs)]
            totals = [total + (0 if is_leukocyte(name) else n) for total, n in zip(totals, counts, strict=True)]
            if not all(totals):
                continue
            (a, b), (m, n) = counts, totals
            low, high = rumke_limits(b, n)
            p = float(fisher_exact([[a, m - a], [b, n - b]]).pvalue)
            rows.append((sample, name, a, m, a / m, b, n, b / n, low, high, low <= a / m <= high, p))
    return pd.DataFrame(rows, columns=list(COMPARED))


def differing_by_chance(table: pd.DataFrame, *, level: float = 0.95) -> float:
    """How many shares would lie outside Rümke's limits if both readers met cells of the same mix.

    The limits allow for the chance of the manual count alone, and ours varies, too. So more than 5 % may lie outside.

    Parameters
    ----------
    table : DataFrame
        As `compared` gives it.
    level : float
        Of the limits.

    Returns
    -------
    float
        Expected number, 0 to the number of rows: the true share is taken to be that of both readers' cells together.
    """
    from scipy.stats import binom

    expected = 0.0
    for row in table.itertuples(index=False):
        m, n = int(row.of), int(row.manual_of)
        share = (row.cells + row.manual_cells) / (m + n)
        if not 0 < share < 1:
            continue
        counts = np.arange(binom.ppf(1e-7, n, share), binom.ppf(1 - 1e-7, n, share) + 1)
        low, high = _limits(counts, n, level)
        inside = binom.cdf(np.floor(m * high + 1e-9), m, share) - binom.cdf(np.ceil(m * low - 1e-9) - 1, m, share)
        expected += float((binom.pmf(counts, n, share) * (1 - inside)).sum())
    return expected


def _limits(counts: np.ndarray, total: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """`rumke_limits` of many counts (K,)."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = np.where(counts > 0, beta.ppf(tail, np.maximum(counts, 1), total - counts + 1), 0.0)
    high = np.where(counts < total, beta.ppf(1 - tail, counts + 1, np.maximum(total - counts, 1)), 1.0)
    return low, high


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """What `compared` samples show of each class together, in the kinds of measures that CLSI H20-A2 asks for.

    Quantitatively: the difference ours less manual in percentage points, its standard deviation over samples, the
    correlation, and the orthogonal regression of ours on the manual share. Qualitatively, where blood has reference
    intervals of the class: how often ours calls a share abnormal, that lies outside them, as the manual one does.

    Parameters
    ----------
    table : DataFrame
        As `compared` gives it.

    Returns
    -------
    DataFrame
        `AGREEMENT`, a row a class. `within` is the share of samples within Rümke's limits, `abnormal` how many are so
        by the manual count; NaN where there are too few samples.

    References
    ----------
    CLSI H20-A2, *Reference Leukocyte (WBC) Differential Count (Proportional) and Evaluation of Instrumental Methods*,
    2007.
    """
    rows = []
    for name, own in table.groupby("class", sort=False):
        mine, theirs = 100 * own["share"].to_numpy(float), 100 * own["manual_share"].to_numpy(float)
        numbers = (np.nan,) * 5
        if len(own) >= MIN_COMPARED_SAMPLES:
            gap = mine - theirs
            varied = bool(np.ptp(mine) and np.ptp(theirs))
            line = _orthogonal(theirs, mine) if varied else (np.nan, np.nan)
            related = float(np.corrcoef(mine, theirs)[0, 1]) if varied else np.nan
            numbers = (float(gap.mean()), float(gap.std(ddof=1)), related, *line)
        rows.append((name, len(own), float(own["within"].mean()), *numbers, *_abnormal(str(name), mine, theirs)))
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def _met(table: pd.DataFrame) -> Iterable[str]:
    return [name for name in table.loc[table["cells"] > 0, "class"] if name in NODES and name != "cell"]


def _counted(table: pd.DataFrame, level: SharedLevel) -> dict[str, dict[str, int]]:
    """Cells by sample and class of the level."""
    classes = level.project_all(table["class"])
    found: dict[str, dict[str, int]] = {}
    for sample, name, cells in zip(table["sample"].astype(str), classes, table["cells"], strict=True):
        own = found.setdefault(sample, {})
        if name is not None:
            own[name] = own.get(name, 0) + int(cells)
    return found


def _orthogonal(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the line with the least squared distances at right angles."""
    axes = np.linalg.svd(np.column_stack([x - x.mean(), y - y.mean()]), full_matrices=False)[2]
    slope = float(axes[0, 1] / axes[0, 0]) if axes[0, 0] else np.nan
    return slope, float(y.mean() - slope * x.mean())


def _abnormal(name: str, mine: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float, float]:
    """Samples that are abnormal by the manual count, and sensitivity, specificity and overall agreement of ours."""
    if name not in BLOOD:
        return (np.nan,) * 4
    low, high = BLOOD[name]
    called, true = ((shares < low) | (shares > high) for shares in (mine, theirs))
    sensitivity = float(called[true].mean()) if true.any() else np.nan
    specificity = float((~called[~true]).mean()) if (~true).any() else np.nan
    return float(true.sum()), sensitivity, specificity, float((called == true).mean())
