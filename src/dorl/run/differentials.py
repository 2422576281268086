"""What `dorl count` makes of classified cells: a differential of all and of each sample, and what to look at first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dorl.classification.differential import (
    APART,
    COLUMNS,
    LEUKOCYTE,
    MIN_COUNTED_CELLS,
    UNCLASSIFIED,
    UNLIKE,
    differential,
)
from dorl.run.model import DoRL
from dorl.runtime.progress import say
from dorl.taxonomy import NODES, UNCOMMON
from dorl.words import counted

#: what ``counts.csv`` calls all leukocytes, and all cells together
WHITE, ALL = "all leukocytes", "all"
#: columns of ``samples.csv``, and of ``review.csv``
SAMPLES = ("sample", *COLUMNS)
REVIEW = ("path", "xmin", "ymin", "xmax", "ymax", "class", "probability", "distance", "reason")
#: a cell is unsure below this probability
UNSURE = 0.7


def differentials(
    cells: pd.DataFrame, model: DoRL | None, samples: Sequence[str], *, wbc: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The differential of all cells, and of each sample.

    Parameters
    ----------
    cells : DataFrame
        As ``cells.csv``. Those that aren't `counted` are left out.
    model : DoRL or None
        As it is suited to these cells; without one nothing is told but how many there are.
    samples : sequence of str
        Every sample, those without cells, too.
    wbc : float, optional
        Leukocytes, 10⁹/l: absolute counts are added.

    Returns
    -------
    counts, by_sample : DataFrame
        As ``counts.csv`` and ``samples.csv``.
    """
    counted = cells[cells["counted"]]
    slides = "sample" if len(set(samples)) > 1 else "path"
    counts = _one(counted, model, slides)
    parts = [_one(counted[counted["sample"] == name], model, "path").assign(sample=name) for name in samples]
    by_sample = pd.concat(parts, ignore_index=True)[list(SAMPLES)]
    if wbc is not None:
        counts = _absolute(counts, wbc)
    return counts, by_sample


def _one(cells: pd.DataFrame, model: DoRL | None, slides: str) -> pd.DataFrame:
    """The differential of some cells, with the two last lines."""
    if model is None:
        table = pd.DataFrame(columns=list(COLUMNS))
    else:
        table = differential(
            named(cells, each_unlike=model.each_unlike),
            model.classes_,
            confusion=model.confusion(),
            another_lab=model.another_lab,
            slides=cells[slides].to_numpy(str),
        )
    white = table["group"] == LEUKOCYTE
    last = [(WHITE, LEUKOCYTE, int(table.loc[white, "cells"].sum()))] if model is not None else []
    table = pd.concat([table, pd.DataFrame([*last, (ALL, "", len(cells))], columns=list(COLUMNS[:3]))])
    return table.reset_index(drop=True)


def named(cells: pd.DataFrame, *, each_unlike: bool) -> np.ndarray:
    """What each cell counts as, object (N,): its class or node, `UNLIKE` or `UNCLASSIFIED`.

    Parameters
    ----------
    cells : DataFrame
        Its columns class and unlike are used.
    each_unlike : bool
        Whether ``unlike`` tells the single cell. Without that it tells of another lab's cells altogether, and only
        those without a class are `UNLIKE`.
    """
    name = cells["class"].to_numpy(object)
    unlike = _unlike(cells)
    none = np.isin(name.astype(str), ["", "cell"])
    name = np.where(none, UNCLASSIFIED, name)
    return np.where(unlike & (none | each_unlike), UNLIKE, name)


def _unlike(cells: pd.DataFrame) -> np.ndarray:
    """Which cells are said to be unlike, bool (N,); not those of which nothing is said."""
    return np.array([value is True or value == True for value in cells["unlike"]], bool)  # noqa: E712


def _absolute(counts: pd.DataFrame, wbc: float) -> pd.DataFrame:
    """With absolute counts, 10⁹/l, and their interval: the one with errors where it is known."""
    wide = counts[["low_with_errors", "high_with_errors"]].notna().all(axis=1)
    for name, column in (("absolute", None), ("absolute_low", "low"), ("absolute_high", "high")):
        values = counts["share"] if column is None else counts[f"{column}_with_errors"].where(wide, counts[column])
        counts[name] = wbc * values.astype(float)
    return counts


def to_review(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells that a person should look at first, as ``review.csv``: those with most reasons, the least sure, first.

    A reason is ``unlike``, ``unsure`` (below `UNSURE`, or without a class), ``immature`` (a class that healthy blood
    hardly holds) or ``edge``.
    """
    chance = cells["probability"].astype(float)
    name = cells["class"].astype(str)
    reasons = {
        "unlike": _unlike(cells),
        "unsure": ((chance < UNSURE) | (name == "")).to_numpy(bool),
        "immature": name.isin(UNCOMMON & set(NODES)).to_numpy(bool),
        "edge": cells["touches_border"].to_numpy(bool),
    }
    table = pd.DataFrame({column: cells[column] for column in REVIEW[:-1]})
    flags = np.column_stack(list(reasons.values()))
    table["reason"] = [" ".join(word for word, on in zip(reasons, row, strict=True) if on) for row in flags]
    order = np.lexsort([chance.fillna(0).to_numpy(), -flags.sum(1)])
    return table.iloc[order[flags[order].any(1)]].reset_index(drop=True)


def tell_counts(counts: pd.DataFrame, by_sample: pd.DataFrame, *, each_unlike: bool) -> None:
    """Say where a differential rests on too few leukocytes, or unlike cells can't be told one by one."""
    of_sample = by_sample[by_sample["class"] == WHITE]
    few = of_sample[of_sample["cells"] < MIN_COUNTED_CELLS]
    if len(few) == 1 == len(of_sample):
        say(
            f"percentages of {counted(int(few['cells'].iat[0]), 'leukocyte')}: laboratories report them of "
            f"{MIN_COUNTED_CELLS} or more; the intervals are wide, count more fields"
        )
    elif len(few):
        have = "has" if len(few) == 1 else "have"
        say(
            f"{len(few)} of {len(of_sample)} samples {have} fewer than {MIN_COUNTED_CELLS} leukocytes: "
            "their intervals are wide"
        )
    if not each_unlike:
        say(
            "these cells are another lab's, and too few to learn what is usual there: those called unlike count in "
            "their classes"
        )


def lines(counts: pd.DataFrame) -> list[str]:
    """A differential as lines of text."""
    found = []
    for row in counts.itertuples(index=False):
        text = f"{int(row.cells):6d}  {row[0]}"
        if row.share == row.share and row.share is not None:
            unit = " per 100 leukocytes" if row.group == APART else " %"
            reach = f"{100 * row.low:.1f} to {100 * row.high:.1f} by counting"
            if row.low_with_errors == row.low_with_errors:
                reach += f", {100 * row.low_with_errors:.1f} to {100 * row.high_with_errors:.1f} with errors"
            text += f"  {100 * row.share:.1f}{unit} ({reach})"
        if getattr(row, "absolute", np.nan) == getattr(row, "absolute", np.nan):
            text += f"  {row.absolute:.2f} ({row.absolute_low:.2f} to {row.absolute_high:.2f}) 10⁹/l"
        found.append(text)
    return found
