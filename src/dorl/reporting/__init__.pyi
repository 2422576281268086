from .cellmap import CellMap
from .figures import (
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
from .html import write_report
from .sections import Gallery, Matrices, Notes, Picture, Settings, Table, Text
from .tables import SCORES, cells, summary, table, write_results, write_tables

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
