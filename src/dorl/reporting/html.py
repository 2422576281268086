"""The report: one HTML file that needs nothing beside it and asks no other host for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from dorl.files import write_text
from dorl.reporting.cellmap import CellMap
from dorl.reporting.sections import Gallery, Matrices, Notes, Picture, Settings, Table, Text

Section = Text | Notes | Table | Settings | Matrices | Picture | Gallery | CellMap


def write_report(path: str | Path, *, title: str, sections: Sequence[Section], subtitle: str = "") -> None:
    """Write the report as one HTML file.

    It can be read without scripts, and in print. The page allows no script but its own, by its digest, and that only
    where there is a `CellMap`.

    Parameters
    ----------
    path : str or Path
        By custom ``report.html``.
    title : str
    sections : sequence of Text, Notes, Table, Settings, Matrices, Picture, Gallery and CellMap
        In the order shown. All text in them is escaped. The contents stand behind the first, where three have headings.
    subtitle : str, optional
        One line below the title.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("dorl.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _part("cellmap.js") if any(isinstance(section, CellMap) for section in sections) else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    html = environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        css=Markup(_part("report.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        sections=[
            {"kind": type(section).__name__, "it": section, "id": f"part-{number}"}
            for number, section in enumerate(sections, 1)
        ],
        contents_at=1 if sum(bool(getattr(section, "heading", "")) for section in sections) > 2 else -1,
    )
    write_text(path, html)


def _part(name: str) -> str:
    return (files("dorl.reporting") / "templates" / name).read_text(encoding="utf-8")
