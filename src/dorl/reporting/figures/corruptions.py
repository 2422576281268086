"""Accuracy and macro-F1 over the strength of what makes images worse."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dorl.reporting.figures.style import faint_grid, new_figure, style, write
from dorl.reporting.palette import styles


def corruption_curves(scores: pd.DataFrame, path: str | Path) -> None:
    """Draw a panel a kind, accuracy above and macro-F1 below, a line a method.

    Parameters
    ----------
    scores : DataFrame
        Columns method, kind, strength (0 to 5), accuracy and macro_f1 (0-1).
    path : str or Path
    """
    kinds, methods = list(dict.fromkeys(scores["kind"])), list(dict.fromkeys(scores["method"]))
    looks = styles(methods)
    with style():
        figure = new_figure(1.7 * len(kinds) + 0.8, 4.4 + 0.18 * len(methods))
        grid = figure.subplots(2, len(kinds), sharex=True, sharey=True, squeeze=False)
        for column, kind in enumerate(kinds):
            for axes, (score, label) in zip(
                grid[:, column], (("accuracy", "accuracy (%)"), ("macro_f1", "macro-F1 (%)")), strict=True
            ):
                for method in methods:
                    rows = scores[(scores["kind"] == kind) & (scores["method"] == method)].sort_values("strength")
                    look = looks[method]
                    axes.plot(
                        rows["strength"], 100 * rows[score], color=look["color"], linestyle=look["line"], label=method
                    )
                axes.set(ylim=(0, 102), xticks=range(6))
                faint_grid(axes)
                if not column:
                    axes.set_ylabel(label)
            grid[0, column].set_title(kind)
            grid[1, column].set_xlabel("strength")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", fontsize=7, ncols=2)
        write(figure, path)
