"""The map of cells: a latent space that can be zoomed into, each point showing its cell."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dorl.reporting.palette import styles
from dorl.reporting.sections import Picture, data_uri

#: points of a map at most: with their pictures the report stays below some 6 MB
MAX_PLACES = 3000
#: side of a cell's picture in pixels, and pictures side by side on the sheet
SIDE, COLUMNS = 64, 40
#: of the sheet, a JPEG
QUALITY = 72


@dataclass
class CellMap:
    """Cells in the plane, with their pictures. Without scripts, and in print, a drawn figure stands in its place.

    Parameters
    ----------
    placed : float array of shape (N, 2)
        No unit.
    labs : sequence of str, shape (N,)
    classes : sequence of str, shape (N,)
        Empty where a cell has no label.
    names : sequence of str, shape (N,)
        What each cell is called, for example its file.
    sheet : bytes
        JPEG of the cells' pictures in rows of `COLUMNS`, as `picture_sheet` makes it.
    static : Picture
        What is shown without scripts and in print.
    heading, caption : str, optional
    order : sequence of str, optional
        All labs of the report, so that they have the same colours everywhere; those of `labs` by default.
    """

    placed: NDArray[np.floating]
    labs: Sequence[str]
    classes: Sequence[str]
    names: Sequence[str]
    sheet: bytes
    static: Picture
    heading: str = ""
    caption: str = ""
    order: Sequence[str] = ()

    @property
    def sheet_uri(self) -> str:
        return data_uri(self.sheet, "image/jpeg")

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs, as JSON may hold it: places scaled to 0-1000, and two ways to colour the points."""
        return {
            "side": SIDE,
            "columns": COLUMNS,
            "places": scaled(self.placed).round(1).tolist(),
            "names": list(self.names),
            "groupings": [
                _grouping("lab", self.labs, dict.fromkeys([*self.order, *self.labs])),
                _grouping("class", self.classes, dict.fromkeys(sorted({name for name in self.classes if name}))),
            ],
        }


def drawn(labs: ArrayLike, *, seed: int = 0, most: int = MAX_PLACES) -> NDArray[np.intp]:
    """Row numbers, ascending, of at most `most` cells, as many of each lab as it has and there is room for.

    Parameters
    ----------
    labs : array of str, shape (N,)
    seed : int, default 0
        Of the draw.
    most : int
    """
    labs = np.asarray(labs).astype(str)
    turn = np.empty(len(labs))
    order = np.random.default_rng(seed).permutation(len(labs))
    for name in np.unique(labs):
        members = order[labs[order] == name]
        turn[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:most])


def picture_sheet(pictures: Any) -> bytes:
    """One JPEG of all pictures, each made `SIDE` pixels wide, in rows of `COLUMNS`.

    Parameters
    ----------
    pictures : uint8 array of shape (N, H, W, 3), or `dorl.cells.rows.StoredRows` of that shape
        N at least 1; square. They are read slice by slice.
    """
    sheet = Image.new("RGB", (SIDE * min(COLUMNS, len(pictures)), SIDE * -(-len(pictures) // COLUMNS)), "white")
    slices = (pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS))
    for number, picture in enumerate(chain.from_iterable(slices)):
        small = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
        sheet.paste(small, (number % COLUMNS * SIDE, number // COLUMNS * SIDE))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def scaled(placed: ArrayLike) -> NDArray[np.float64]:
    """Places moved and scaled, both axes alike, into 0-1000; the second axis points down, as on a screen."""
    points = np.asarray(placed, np.float64) * (1, -1)
    low, high = points.min(0), points.max(0)
    size = max(float((high - low).max()), 1e-12)
    return (points - (low + high) / 2) / size * 1000 + 500


def _grouping(title: str, names: Sequence[str], order: Iterable[str]) -> dict[str, Any]:
    looks = styles([name for name in order if name])
    groups = [{"name": name, "colour": look["color"], "mark": look["marker"]} for name, look in looks.items()]
    index = {name: number for number, name in enumerate(looks)}
    if any(not name for name in names):
        index[""] = len(groups)
        groups.append({"name": "no label", "colour": "#b4b4b4", "mark": "o"})
    return {"title": title, "groups": groups, "of": [index[name] for name in names]}
