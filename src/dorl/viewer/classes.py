"""Giving chosen cells a class."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import TYPE_CHECKING

import pandas as pd

from dorl.taxonomy import NODES

if TYPE_CHECKING:
    import napari

#: the classes that a cell can have, as a list to choose from
Class = Enum("Class", {name: name for name in NODES if name != "cell"})  # type: ignore[misc]


def with_class(features: pd.DataFrame, chosen: Collection[int], name: str) -> pd.DataFrame:
    """Features of points in which those chosen, by their rows, have a class; theirs has no probability any more.

    Parameters
    ----------
    features : DataFrame
        As `dorl.viewer.layers.layers_of` gives it.
    chosen : collection of int
    name : str
    """
    found = features.copy()
    rows = sorted(chosen)
    found.loc[found.index[rows], "class"] = name
    found.loc[found.index[rows], "probability"] = float("nan")
    return found


def set_class(points: napari.layers.Points, name: Class) -> None:
    """Give the points that are chosen in a layer a class."""
    points.features = with_class(points.features, points.selected_data, str(name.value))
    points.refresh_text()
