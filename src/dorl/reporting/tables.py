"""Tables of results: CSV files for machines, and Markdown laid out as the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dorl.classification.answers import ALIKE
from dorl.classification.byclass import class_table, node_table
from dorl.files import write_text
from dorl.sheets import write_sheet
from dorl.words import ON_SPLIT

if TYPE_CHECKING:
    from dorl.classification.protocol import ProtocolResult

#: stands where a pair compares no cell
NOTHING = "–"
#: what intervals and marks mean
MEANING = (
    "In brackets: the 95 % interval (bootstrap, 2,000 draws of patients where they are known, else of cells). It "
    f"covers which cells were tested, not that other cells could have been learnt from. {ALIKE}: accuracy not told "
    "apart from the best of the column, by a paired bootstrap and McNemar's test on the same cells, with Holm's "
    "correction over rows."
)


def labs_in_order(results: pd.DataFrame) -> list[str]:
    """Labs in the order of first appearance, training labs first."""
    return list(dict.fromkeys([*results["train"], *results["test"]]))


def summary(
    results: pd.DataFrame, labs: Sequence[str] | None = None, *, score: str = "accuracy"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and standard deviation over folds, in %.

    Parameters
    ----------
    results : DataFrame
        Columns train, test, method, classifier, fold and `score` (0 to 1).
    labs : sequence of str, optional
        Order of the columns; by default that of first appearance.
    score : str, default "accuracy"

    Returns
    -------
    mean, std : DataFrame
        Rows ``method-classifier`` in order of appearance, columns ``train→test``, in %. `mean` has a last
        column ``average``: the mean over all pairs that compare any cell, own lab included. The standard
        deviation is that of the folds themselves (divided by their number).
    """
    labs = list(dict.fromkeys([*(labs or ()), *labs_in_order(results)]))  # several labs learnt together stand last
    rows = results["method"] + "-" + results["classifier"]
    pairs = results["train"] + "→" + results["test"]
    found = set(zip(results["train"], results["test"], strict=True))
    columns = [f"{train}→{test}" for train in labs for test in labs if (train, test) in found]
    grouped = (100 * results[score]).groupby([rows, pairs], sort=False)
    order = list(dict.fromkeys(rows))
    mean = grouped.mean().unstack().reindex(index=order, columns=columns)
    std = grouped.std(ddof=0).unstack().reindex(index=order, columns=columns)
    mean["average"] = mean.mean(axis=1)
    return mean, std


def cells(
    results: pd.DataFrame,
    labs: Sequence[str] | None = None,
    *,
    score: str = "accuracy",
    bold: str = "**{}**",
    intervals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The cells of the table as text: ``mean ± std (low–high)`` in %, the best of each column in bold.

    Of a single fold there is no ``± std``.

    Parameters
    ----------
    results, labs, score
        As for `summary`.
    bold : str, default "**{}**"
        How a bold cell is written; ``"{}"`` for none.
    intervals : DataFrame, optional
        As of `dorl.classification.answers.intervals_table`. A row whose accuracy isn't told apart from the best one's
        is marked with `ALIKE`. Without it no interval is shown.

    Returns
    -------
    DataFrame of str
        Rows ``method-classifier``, columns ``train→test`` and ``average``.
    """
    mean, std = summary(results, labs, score=score)
    limits = {} if intervals is None else _limits(intervals, score)
    shown = {}
    for column in mean.columns:
        # compared as shown, so that two rows that read the same are both bold or both not
        best = mean[column].round(2).max()
        # a single fold has no deviation
        spreads = std[column].tolist() if column in std and results["fold"].nunique() > 1 else [None] * len(mean)
        shown[column] = [
            _shown(
                float(value), spread, bold if round(float(value), 2) == best else "{}", limits.get((row, column), "")
            )
            for row, value, spread in zip(mean.index, mean[column].tolist(), spreads, strict=True)
        ]
    return pd.DataFrame(shown, index=mean.index)


def _limits(intervals: pd.DataFrame, score: str) -> dict[tuple[str, str], str]:
    """Interval and mark of each cell of a table, by row and column."""
    found = {}
    for row in intervals.to_dict("records"):
        if np.isnan(row[f"{score}_low"]):
            continue
        place = f"{row['method']}-{row['classifier']}", f"{row['train']}→{row['test']}"
        # True, False or nothing; read from a file, too
        mark = f" {ALIKE}" if score == "accuracy" and str(row["told_apart"]) == "False" else ""
        found[place] = f" ({100 * row[f'{score}_low']:.1f}–{100 * row[f'{score}_high']:.1f}){mark}"
    return found


def _shown(value: float, spread: float | None, form: str, limits: str) -> str:
    if np.isnan(value):
        return NOTHING
    return form.format(f"{value:.2f}{'' if spread is None else f' ± {spread:.2f}'}{limits}")


def table(
    results: pd.DataFrame,
    labs: Sequence[str] | None = None,
    *,
    score: str = "accuracy",
    intervals: pd.DataFrame | None = None,
) -> str:
    """A Markdown table laid out as the paper's Table 1.

    Parameters
    ----------
    results, labs, score, intervals
        As for `cells`.

    Returns
    -------
    str
        Rows ``method-classifier``, columns ``train→test`` and ``average``; ``mean ± std`` over folds in %,
        the best of each column in bold.
    """
    shown = cells(results, labs, score=score, intervals=intervals)
    head = ["method", *map(str, shown.columns)]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    lines += [
        _line([str(value) for value in (row, *values)])
        for row, values in zip(shown.index, shown.to_numpy(), strict=True)
    ]
    return "\n".join(lines) + "\n"


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"


def write_results(result: ProtocolResult, out: str | Path) -> None:
    """Write `FILES` into the folder `out`.

    Scores by fold (``results.csv`` by the tree, ``results_flat.csv`` flat), their intervals and tests
    (``intervals.csv``, ``intervals_flat.csv``), measures of a class at a time (``classes.csv``) and the confusion at
    each node of the tree (``confusion.csv``).
    """
    frames = (
        *(result.results, result.results_flat, result.intervals, result.intervals_flat),
        *(class_table(result.answers), node_table(result.answers)),
    )
    for name, frame in zip(FILES, frames, strict=True):
        write_sheet(Path(out) / name, frame)


def write_tables(result: ProtocolResult, out: str | Path, labs: Sequence[str] | None = None) -> None:
    """Write ``table.md`` into the folder `out`: all scores, what each means, and what each pair compares.

    Parameters
    ----------
    result : ProtocolResult
    out : str or Path
        Folder.
    labs : sequence of str, optional
        Order of the columns; by default that of first appearance.
    """
    folds = result.results["fold"].nunique()
    over = f"Mean ± standard deviation over {folds} folds" if folds > 1 else ON_SPLIT.capitalize()
    parts = [
        "# Results across laboratories\n",
        f"Trained on one lab, tested on each: `train→test`. {over}, "
        "in %; `average` is over all pairs shown, own lab included; the best of each column is bold.\n",
        f"{MEANING}\n",
    ]
    for heading, meaning, frame, score in SCORES:
        intervals = getattr(result, INTERVALS[frame])
        shown = table(getattr(result, frame), labs, score=score, intervals=intervals)
        parts += [f"## {heading}\n", meaning + "\n", shown]
    parts += ["## What each pair compares\n", _pairs(result.pairs)]
    if result.notes:
        parts += ["## Notes\n", "\n".join(f"- {note}" for note in result.notes) + "\n"]
    write_text(Path(out) / "table.md", "\n".join(parts))


#: intervals of each frame of `SCORES`
INTERVALS = {"results": "intervals", "results_flat": "intervals_flat"}
#: what `write_results` writes
FILES = ("results.csv", "results_flat.csv", "intervals.csv", "intervals_flat.csv", "classes.csv", "confusion.csv")

#: the tables of a result: heading, what it means, which frame of the result, which score
SCORES = (
    (
        "Accuracy, by the tree of classes",
        "Labels of both labs are taken up to the finest classes that both name; a finer prediction is right "
        "for its ancestor (a banded neutrophil is a neutrophil). Cells without a counterpart are left out.",
        "results",
        "accuracy",
    ),
    (
        "Accuracy, flat",
        "As in the paper's Table 1: class names are flattened (neutrophil counts as segmented) and must "
        "agree; every tested cell counts, those of a class that the training lab doesn't have as wrong.",
        "results_flat",
        "accuracy",
    ),
    (
        "Balanced accuracy, by the tree of classes",
        "The mean of the recalls of the classes, so that a rare class weighs as much as a common one.",
        "results",
        "balanced_accuracy",
    ),
    (
        "Macro-F1, by the tree of classes",
        "The mean over classes of the harmonic mean of precision and recall.",
        "results",
        "macro_f1",
    ),
    (
        "Macro-F1, flat",
        "The same of the flat comparison, over the classes that the tested lab has.",
        "results_flat",
        "macro_f1",
    ),
)


def _pairs(pairs: pd.DataFrame) -> str:
    lines = [
        _line(["train→test", "cells compared", "cells left out", "classes compared"]),
        _line(["---", "---:", "---:", "---"]),
    ]
    for pair in pairs.to_dict("records"):
        listed = ", ".join(pair["classes"]) or NOTHING
        lines.append(_line([f"{pair['train']}→{pair['test']}", str(pair["cells"]), str(pair["left_out"]), listed]))
    return "\n".join(lines) + "\n"
