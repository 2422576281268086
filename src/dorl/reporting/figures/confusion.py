"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dorl.reporting.figures.style import new_figure, style, write


def confusion_matrices(
    matrices: Mapping[str, tuple[Sequence[str], NDArray[np.float64]]], path: str | Path, *, columns: int = 2
) -> None:
    """Draw confusion matrices, each row in % of the cells of its true class.

    Parameters
    ----------
    matrices : mapping of title to (classes, counts)
        Cells, of shape (n_classes, n_classes + 1): rows are true classes, columns predicted ones, the last
        "other"; as in `dorl.classification.ProtocolResult.confusions`. A matrix without a class is left out.
    path : str or Path
    columns : int, default 2
        Matrices side by side.
    """
    shown = {title: matrix for title, matrix in matrices.items() if len(matrix[0])}
    with style():
        columns = min(columns, max(len(shown), 1))
        deep = max(1, -(-len(shown) // columns))
        sizes = [len(classes) for classes, _ in shown.values()] or [1]
        # a row of matrices is as high as its largest one needs
        heights = [1.6 + 0.3 * max(sizes[i : i + columns], default=1) for i in range(0, deep * columns, columns)]
        figure = new_figure(columns * (2.2 + 0.3 * max(sizes)), sum(heights))
        grid = figure.subplots(deep, columns, squeeze=False, height_ratios=heights).ravel()
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        for axes, (title, (classes, counts)) in zip(grid, shown.items(), strict=False):
            counts = np.asarray(counts)
            totals = counts.sum(axis=1, keepdims=True)
            share = 100 * counts / np.maximum(totals, 1)
            axes.imshow(share, cmap="cividis", vmin=0, vmax=100)
            for (row, column), value in np.ndenumerate(share):
                if counts[row, column]:
                    ink = "black" if value > 55 else "white"
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=7)
            names = [*classes, "other"]
            axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(
                range(len(classes)),
                [f"{name} ({round(n)})" for name, n in zip(classes, totals.ravel(), strict=True)],
            )
            axes.axvline(len(classes) - 0.5, color="white", linewidth=2)
            axes.set(title=title, xlabel="predicted class", ylabel="true class (cells)")
        figure.supxlabel("numbers and colours: share of the cells of the true class (%)", fontsize=9)
        write(figure, path)
