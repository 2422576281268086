"""Training curves."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from dorl.reporting.figures.style import faint_grid, new_figure, style, write
from dorl.reporting.palette import styles

#: columns that say when, the first found of which is the horizontal axis
WHEN = ("epoch", "step")
#: columns that are no loss
NO_LOSS = ("epoch", "step", "lr", "learning_rate", "seconds", "time")


def loss_curve(history: pd.DataFrame, path: str | Path) -> None:
    """Draw the losses of a training over its epochs or steps.

    Parameters
    ----------
    history : DataFrame
        A row for each time of measuring; a column ``epoch`` or ``step`` (else the row number is taken) and
        any number of numeric loss columns. Missing values are bridged.
    path : str or Path
    """
    with style():
        figure = new_figure(5.2, 3.4)
        axes = figure.subplots()
        when = next((name for name in WHEN if name in history), None)
        if when == "epoch" and "step" in history and history["epoch"].duplicated().any():
            when = "step"  # several measurements an epoch would stand above each other
        at = history[when] if when else pd.Series(range(len(history)), index=history.index)
        losses = [n for n in history.select_dtypes("number").columns if str(n).lower() not in NO_LOSS]
        looks = styles([str(name) for name in losses])
        for name in losses:
            known = history[name].notna()
            look = looks[str(name)]
            axes.plot(
                at[known],
                history.loc[known, name],
                color=look["color"],
                linestyle=look["line"],
                linewidth=1.4,
                marker=look["marker"] if known.sum() <= 30 else None,
                markersize=3,
                label=str(name),
            )
        values = history[losses].to_numpy(dtype=float)
        positive = values[values > 0]
        if len(positive) and (values[values == values] > 0).all() and positive.max() > 20 * positive.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set(xlabel=when or "measurement", ylabel="loss (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        faint_grid(axes)
        if losses:
            figure.legend(loc="outside upper left", ncols=3)
        write(figure, path)
