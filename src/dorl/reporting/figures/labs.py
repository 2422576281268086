"""What the labs' images are like: grey levels (Figure 1 of the paper) and class counts (Figure 4)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dorl.reporting.figures.style import faint_grid, new_figure, style, write
from dorl.reporting.palette import styles


def grey_levels(histograms: Mapping[str, NDArray[np.generic]], path: str | Path) -> None:
    """Draw each lab's distribution of grey levels (Figure 1 of the paper).

    Parameters
    ----------
    histograms : mapping of lab to array of shape (256,)
        Counts or shares of pixels of each grey level 0–255; drawn as shares.
    path : str or Path
    """
    with style():
        figure = new_figure(5.2, 3.0)
        axes = figure.subplots()
        looks = styles(list(histograms))
        for lab, counts in histograms.items():
            total = max(float(np.sum(counts)), 1e-12)
            axes.plot(
                np.arange(256),
                100 * np.asarray(counts, dtype=float) / total,
                color=looks[lab]["color"],
                linestyle=looks[lab]["line"],
                linewidth=1.4,
                label=lab,
            )
        axes.set(xlabel="grey level (0–255)", ylabel="share of pixels (%)", xlim=(0, 255))
        axes.set_ylim(bottom=0)
        faint_grid(axes)
        axes.legend(title="lab")
        write(figure, path)


def class_counts(counts: pd.DataFrame, path: str | Path) -> None:
    """Draw how many cells of each class each lab has (Figure 4 of the paper).

    Parameters
    ----------
    counts : DataFrame of int
        Rows are classes, columns labs.
    path : str or Path
    """
    with style():
        labs = [str(lab) for lab in counts.columns]
        figure = new_figure(5.4, max(2.4, 0.13 * len(counts) * (len(labs) + 0.7) + 1.0))
        axes = figure.subplots()
        looks = styles(labs)
        thick = 0.8 / max(len(labs), 1)
        rows = np.arange(len(counts))
        for i, lab in enumerate(labs):
            values = counts.iloc[:, i].fillna(0).to_numpy(dtype=float)
            bars = axes.barh(
                rows + (i - (len(labs) - 1) / 2) * thick,
                values,
                height=thick,
                color=looks[lab]["color"],
                hatch=looks[lab]["hatch"],
                label=lab,
            )
            axes.bar_label(bars, [f"{value:.0f}" if value else "" for value in values], padding=2, fontsize=7)
        axes.set_yticks(rows, [str(name) for name in counts.index])
        axes.set_ylim(len(counts) - 0.4, -0.6)
        # counts run from one cell to thousands; below 1 the scale is straight so that 0 has a place
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xlim(0, max(10.0, 2 * float(np.nan_to_num(counts.to_numpy(dtype=float)).max(initial=1))))
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_xlabel("cells (count, logarithmic)")
        faint_grid(axes, "x")
        figure.legend(loc="outside upper left", ncols=3)
        write(figure, path)
