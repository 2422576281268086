"""The report: one HTML file that needs nothing beside it and asks no other host for anything."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.errors import InputError
from dorl.files import write_text

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
    """

    frame: pd.DataFrame
    heading: str = ""
    caption: str = ""
    index: bool = True

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
    def rows(self) -> list[list[_Cell]]:
        return [
            [_cell(value) for value in ([name, *values] if self.index else values)]
            for name, values in zip(self.frame.index, self.frame.itertuples(index=False), strict=True)
        ]


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
    """

    path: str | Path
    heading: str = ""
    caption: str = ""

    @property
    def uri(self) -> str:
        path = Path(self.path)
        if path.suffix.lower() not in MEDIA:
            raise InputError(f"{path}: a report takes PNG and JPEG pictures")
        if not path.is_file():
            raise InputError(f"{path}: no such picture; draw it before the report")
        return f"data:{MEDIA[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


Section = Text | Notes | Table | Picture


@dataclass
class _Cell:
    text: str
    bold: bool = False
    number: bool = False


def _cell(value: Any) -> _Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _Cell("–")
    if isinstance(value, bool):
        return _Cell("yes" if value else "no")
    if isinstance(value, Integral):
        return _Cell(str(int(value)), number=True)
    if isinstance(value, Real):
        return _Cell(f"{float(value):.4g}", number=True)
    if isinstance(value, (tuple, list)):
        return _Cell(", ".join(map(str, value)))
    text = str(value)
    if bold := len(text) > 4 and text.startswith("**") and text.endswith("**"):
        text = text[2:-2]
    return _Cell(text, bold=bold, number=" ± " in text or text.replace(".", "", 1).isdigit())


def write_report(
    path: str | Path,
    *,
    title: str,
    sections: Sequence[Section],
    settings: Mapping[str, Any] | None = None,
    subtitle: str = "",
) -> None:
    """Write the report as one HTML file.

    Parameters
    ----------
    path : str or Path
        By custom ``report.html``.
    title : str
    sections : sequence of Text, Notes, Table and Picture
        In the order shown. All text in them is escaped.
    settings : mapping, optional
        What was run and on what, shown as a table at the head; nested mappings are joined with a dot.
    subtitle : str, optional
        One line below the title.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dorl.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        settings=[(name, _cell(value).text) for name, value in _flattened(settings or {})],
        sections=[{"kind": type(section).__name__, "it": section} for section in sections],
    )
    write_text(path, html)


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flattened(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows
