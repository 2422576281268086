"""What a report is made of: text, warnings, tables, matrices, pictures."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dorl.errors import InputError
from dorl.words import counted

#: a number as tables show it, with what is beside it: its deviation, interval and mark
_NUMBER = re.compile(r"\d+(\.\d+)?( ± \d+(\.\d+)?)?( \([\d.]+–[\d.]+\))?( \W)?")
MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass
class Text:
    """Paragraphs of plain text.

    Parameters
    ----------
    text : str
        Paragraphs stand apart by an empty line.
    heading : str, optional
    """

    text: str
    heading: str = ""

    @property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


@dataclass
class Notes:
    """Warnings and remarks that matter, set off from the rest.

    Parameters
    ----------
    notes : sequence of str
    heading : str, default "Notes"
    """

    notes: Sequence[str]
    heading: str = "Notes"


@dataclass
class Table:
    """A table.

    Parameters
    ----------
    frame : DataFrame
        A cell written ``**so**`` is shown in bold, as `dorl.reporting.cells` marks the best of a column.
    heading : str, optional
    caption : str, optional
    index : bool, default True
        Show the index as the first column.
    folded : bool, default False
        Show the heading alone until it is asked for the rest; in print all is shown.
    """

    frame: pd.DataFrame
    heading: str = ""
    caption: str = ""
    index: bool = True
    folded: bool = False

    @property
    def columns(self) -> list[str]:
        # a zero-width space after the arrow: there a heading may be broken
        names = [str(name).replace("→", "→\u200b") for name in self.frame.columns]
        return [str(self.frame.index.name or ""), *names] if self.index else names

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers (or dashes) alone and stands to the right."""
        return [
            any(cell.number for cell in column) and all(cell.number or cell.text == "–" for cell in column)
            for column in zip(*self.rows, strict=True)
        ] or [False] * len(self.columns)

    @property
    def rows(self) -> list[list[Cell]]:
        return [
            [table_cell(value) for value in ([name, *values] if self.index else values)]
            for name, values in zip(self.frame.index, self.frame.itertuples(index=False), strict=True)
        ]


@dataclass
class Settings:
    """Names and values; nested mappings are joined with a dot.

    Parameters
    ----------
    settings : mapping
    heading : str
    folded : bool, default False
        As for `Table`.
    """

    settings: Mapping[str, Any]
    heading: str = "Settings"
    folded: bool = False

    @property
    def rows(self) -> list[tuple[str, str]]:
        return [(name, table_cell(value).text) for name, value in flattened(self.settings)]


@dataclass
class Matrices:
    """Confusion matrices as tables, each row in % of the cells of its true class and shaded by it.

    Parameters
    ----------
    matrices : mapping of title to (classes, counts)
        As for `dorl.reporting.confusion_matrices`; one without a class is left out.
    heading, caption : str, optional
    """

    matrices: Mapping[str, tuple[Sequence[str], NDArray[Any]]]
    heading: str = ""
    caption: str = ""

    @property
    def tables(self) -> list[dict[str, Any]]:
        found = []
        for title, (classes, counts) in self.matrices.items():
            counts = np.asarray(counts)
            if not len(classes):
                continue
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            right = np.diagonal(counts).sum() / max(counts.sum(), 1)
            rows = [
                (name, round(of.sum()), [_shade(float(part), float(n)) for part, n in zip(parts, of, strict=True)])
                for name, of, parts in zip(classes, counts, share, strict=True)
            ]
            found.append({"title": title, "right": f"{100 * right:.1f}", "columns": [*classes, "other"], "rows": rows})
        return found


@dataclass
class Picture:
    """A figure, taken into the report itself.

    Parameters
    ----------
    path : str or Path
        PNG or JPEG.
    heading : str, optional
    caption : str, optional
        Also what a screen reader says of the picture.
    wide : bool, default False
        Keep its width on a narrow screen, where it is moved sideways, since made smaller it couldn't be read.
    """

    path: str | Path
    heading: str = ""
    caption: str = ""
    wide: bool = False

    @property
    def width(self) -> int:
        """On a wide screen, in CSS pixels: a figure's letters are as large as the text's."""
        with Image.open(self.path) as image:
            return round(0.8 * image.width)

    @property
    def uri(self) -> str:
        path = Path(self.path)
        if path.suffix.lower() not in MEDIA:
            raise InputError(f"{path}: a report takes PNG and JPEG pictures")
        if not path.is_file():
            raise InputError(f"{path}: no such picture; draw it before the report")
        return data_uri(path.read_bytes(), MEDIA[path.suffix.lower()])


@dataclass
class Gallery:
    """Pictures of cells side by side, each with a few words.

    Parameters
    ----------
    pictures : sequence of (Picture, list of str)
        The lines below each; the first is the weightiest.
    heading, caption : str, optional
    """

    pictures: Sequence[tuple[Picture, list[str]]]
    heading: str = ""
    caption: str = ""


@dataclass
class Cell:
    """A cell of a table as it is shown."""

    text: str
    bold: bool = False
    number: bool = False


def table_cell(value: Any) -> Cell:
    """Show a value: numbers with four figures, none as a dash, ``**text**`` in bold."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell("–")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, Integral):
        return Cell(str(int(value)), number=True)
    if isinstance(value, Real):
        return Cell(f"{float(value):.4g}", number=True)
    if isinstance(value, (tuple, list)):
        return Cell(", ".join(map(str, value)))
    text = str(value)
    if bold := len(text) > 4 and text.startswith("**") and text.endswith("**"):
        text = text[2:-2]
    return Cell(text, bold=bold, number=_NUMBER.fullmatch(text) is not None)


def flattened(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names and values of nested mappings, names joined with a dot."""
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += flattened(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def data_uri(content: bytes, media: str) -> str:
    """A file's content as an address that needs no file."""
    return f"data:{media};base64,{base64.b64encode(content).decode('ascii')}"


def _shade(share: float, count: float) -> dict[str, Any]:
    """A cell of a confusion matrix: its text in %, the cells' count, colours from white to Okabe & Ito's blue."""
    colour = ",".join(str(round(255 + share * (part - 255))) for part in (0, 90, 150))
    text = "" if not count else "<1" if share < 0.005 else f"{100 * share:.0f}"
    cells = counted(round(count), "cell") if count == round(count) else f"{count:.1f} cells"
    return {"text": text, "cells": cells, "colour": f"rgb({colour})", "light": share > 0.79}
