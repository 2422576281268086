"""Tables of results: CSV files for machines, and Markdown laid out as the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dorl.files import write_text
from dorl.sheets import write_sheet

if TYPE_CHECKING:
    from dorl.classification.protocol import ProtocolResult

#: stands where a pair compares no cell
NOTHING = "–"


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
    labs = labs_in_order(results) if labs is None else list(labs)
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
    results: pd.DataFrame, labs: Sequence[str] | None = None, *, score: str = "accuracy", bold: str = "**{}**"
) -> pd.DataFrame:
    """The cells of the table as text: ``mean ± std`` in %, the best of each column in bold.

    Parameters
    ----------
    results, labs, score
        As for `summary`.
    bold : str, default "**{}**"
        How a bold cell is written; ``"{}"`` for none.

    Returns
    -------
    DataFrame of str
        Rows ``method-classifier``, columns ``train→test`` and ``average``.
    """
    mean, std = summary(results, labs, score=score)
    shown = {}
    for column in mean.columns:
        # compared as shown, so that two rows that read the same are both bold or both not
        best = mean[column].round(2).max()
        spreads = std[column].tolist() if column in std else [None] * len(mean)
        shown[column] = [
            _shown(float(value), spread, bold if round(float(value), 2) == best else "{}")
            for value, spread in zip(mean[column].tolist(), spreads, strict=True)
        ]
    return pd.DataFrame(shown, index=mean.index)


def _shown(value: float, spread: float | None, form: str) -> str:
    if np.isnan(value):
        return NOTHING
    return form.format(f"{value:.2f}" if spread is None else f"{value:.2f} ± {spread:.2f}")


def table(results: pd.DataFrame, labs: Sequence[str] | None = None, *, score: str = "accuracy") -> str:
    """A Markdown table laid out as the paper's Table 1.

    Parameters
    ----------
    results, labs, score
        As for `summary`.

    Returns
    -------
    str
        Rows ``method-classifier``, columns ``train→test`` and ``average``; ``mean ± std`` over folds in %,
        the best of each column in bold.
    """
    shown = cells(results, labs, score=score)
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
    """Write ``results.csv`` (tree comparison) and ``results_flat.csv`` (flat) into the folder `out`."""
    for name, frame in (("results.csv", result.results), ("results_flat.csv", result.results_flat)):
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
    parts = [
        "# Results across laboratories\n",
        f"Trained on one lab, tested on each: `train→test`. Mean ± standard deviation over {folds} folds, "
        "in %; `average` is over all pairs shown, own lab included; the best of each column is bold.\n",
    ]
    for heading, meaning, frame, score in SCORES:
        parts += [f"## {heading}\n", meaning + "\n", table(getattr(result, frame), labs, score=score)]
    parts += ["## What each pair compares\n", _pairs(result.pairs)]
    if result.notes:
        parts += ["## Notes\n", "\n".join(f"- {note}" for note in result.notes) + "\n"]
    write_text(Path(out) / "table.md", "\n".join(parts))


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
