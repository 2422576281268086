"""Tables, figures and the HTML report of a run.

Names are imported when first used, so that ``import dorl.reporting`` loads neither matplotlib nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorl.reporting.cellmap import CellMap
    from dorl.reporting.figures import (
        class_counts,
        class_curves,
        confusion_matrices,
        embed_2d,
        grey_levels,
        latent_space,
        loss_curve,
        reconstruction_panel,
        reliability_diagrams,
    )
    from dorl.reporting.html import write_report
    from dorl.reporting.sections import Gallery, Matrices, Notes, Picture, Settings, Table, Text
    from dorl.reporting.tables import SCORES, cells, summary, table, write_results, write_tables

_WHERE = {
    "class_counts": "figures",
    "class_curves": "figures",
    "confusion_matrices": "figures",
    "embed_2d": "figures",
    "grey_levels": "figures",
    "latent_space": "figures",
    "loss_curve": "figures",
    "reconstruction_panel": "figures",
    "reliability_diagrams": "figures",
    "CellMap": "cellmap",
    "Gallery": "sections",
    "Matrices": "sections",
    "Notes": "sections",
    "Picture": "sections",
    "Settings": "sections",
    "Table": "sections",
    "Text": "sections",
    "write_report": "html",
    "SCORES": "tables",
    "cells": "tables",
    "summary": "tables",
    "table": "tables",
    "write_results": "tables",
    "write_tables": "tables",
}

__all__ = [
    "SCORES",
    "CellMap",
    "Gallery",
    "Matrices",
    "Notes",
    "Picture",
    "Settings",
    "Table",
    "Text",
    "cells",
    "class_counts",
    "class_curves",
    "confusion_matrices",
    "embed_2d",
    "grey_levels",
    "latent_space",
    "loss_curve",
    "reconstruction_panel",
    "reliability_diagrams",
    "summary",
    "table",
    "write_report",
    "write_results",
    "write_tables",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
