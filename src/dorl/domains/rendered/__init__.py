"""Rendered laboratories: white-blood-cell images with masks and classes, made from nothing.

They serve the demo, the tests and the pretraining of segmentation; they hold no pixel of any real image.
"""

from dorl.domains.rendered.anatomy import CELL_CLASSES
from dorl.domains.rendered.lab import render_lab
from dorl.domains.rendered.render import RenderedCell, render_cell
from dorl.domains.rendered.style import STYLES, LabStyle, random_style

__all__ = [
    "CELL_CLASSES",
    "STYLES",
    "LabStyle",
    "RenderedCell",
    "random_style",
    "render_cell",
    "render_lab",
]
