"""Original, segmented and reconstructed cells side by side (Figure 5 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dorl.reporting.figures.style import new_figure, style, write

HEADINGS = ("original", "segmented", "reconstructed")

Row = tuple[str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def reconstruction_panel(rows: Sequence[Row], path: str | Path) -> None:
    """Draw cells of the labs: the image, the crop that its mask leaves, and what the autoencoder makes of it.

    Parameters
    ----------
    rows : sequence of (lab, original, segmented, reconstructed)
        Images RGB uint8 (0–255): the original (H, W, 3) of any size, the others (128, 128, 3). Cells of one
        lab that follow each other share its name.
    path : str or Path
    """
    with style():
        # two cells stand side by side where there are many, so that the figure fits a page
        pairs = 2 if len(rows) > 4 else 1
        deep = max(1, -(-len(rows) // pairs))
        figure = new_figure(0.6 + 3.9 * pairs, 0.3 + 1.3 * deep)
        blocks = figure.subfigures(1, pairs, wspace=0.04, squeeze=False)[0]
        for block, start in zip(blocks, range(0, deep * pairs, deep), strict=True):
            grid = block.subplots(deep, 3, squeeze=False)
            previous = None
            for line, row in zip(grid, [*rows[start : start + deep], *[None] * deep], strict=False):
                for axes in line:
                    axes.set(xticks=[], yticks=[])
                    axes.spines[:].set_visible(False)
                if row is None:
                    continue
                for axes, image in zip(line, row[1:], strict=True):
                    axes.imshow(image, interpolation="nearest" if image.shape[0] < 64 else "antialiased")
                if row[0] != previous:
                    line[0].set_ylabel(row[0])
                previous = row[0]
            for axes, heading in zip(grid[0], HEADINGS, strict=True):
                axes.set_title(heading)
        write(figure, path)
