"""What all figures share: their settings, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dorl.files import atomic

DPI = 150

_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    # a lab may be called "$1": names are text, never mathematics
    "text.parse_math": False,
}


def style() -> Any:
    """Context in which a figure is drawn and written."""
    return rc_context(_SETTINGS)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, `width` × `height` inches, known to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def faint_grid(axes: Axes, axis: Any = "y") -> None:
    """Thin lines behind the data."""
    axes.grid(axis=axis, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def write(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG, atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
