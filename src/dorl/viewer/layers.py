"""Images with their cells as napari's layers, and back; no window is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from dorl.domains.annotations import AnnotatedImage, Cell
from dorl.domains.annotations.pictures import label_picture
from dorl.domains.annotations.shapes import Pixels
from dorl.domains.images import read_image
from dorl.errors import InputError

#: data, what napari is told of it, and the kind of layer
LayerData = tuple[Any, dict[str, Any], str]
#: pixels of all images that are opened at once
MAX_OPENED = 500_000_000
#: key of a layer's metadata that holds its image's path and file
KEY = "dorl"


def layers_of(images: Sequence[AnnotatedImage]) -> list[LayerData]:
    """Three layers an image: the picture, its cells by number, and a point a cell with its class; the first is shown.

    The features of the points are ``cell`` (the number), ``class`` ("" where unknown) and ``probability``; the class is
    written beside each.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Each with its file and its size.

    Raises
    ------
    InputError
        If there are over 500 megapixels.
    BadImageError
        If an image can't be read.
    """
    pixels = sum(image.size[0] * image.size[1] for image in images if image.size is not None)
    if pixels > MAX_OPENED:
        raise InputError(f"{len(images)} images of {pixels // 10**6} megapixels: open fewer at a time")
    found: list[LayerData] = []
    for number, image in enumerate(images):
        assert image.file is not None
        told = {"visible": number == 0, "metadata": {KEY: {"path": image.path, "file": str(image.file)}}}
        labels = label_picture(image)
        features = pd.DataFrame(
            {
                "cell": np.arange(1, len(image.cells) + 1),
                "class": [cell.label or "" for cell in image.cells],
                "probability": [np.nan if cell.probability is None else cell.probability for cell in image.cells],
            }
        )
        found += [
            (read_image(image.file), {"name": image.path, "rgb": True, **told}, "image"),
            (labels, {"name": f"{image.path} cells", **told}, "labels"),
            (
                np.array([_middle(cell, image.size) for cell in image.cells], np.float64).reshape(-1, 2),
                {"name": f"{image.path} classes", "features": features, "text": {"string": "{class}"}, **told},
                "points",
            ),
        ]
    return found


def images_of(layers: Sequence[LayerData]) -> list[AnnotatedImage]:
    """The images and cells of layers, as they were corrected.

    A number of the labels is a cell. Its class is that of the point with this number, else of a point that lies in it.

    Parameters
    ----------
    layers : sequence of LayerData
        As `layers_of` made them; others are passed over.

    Raises
    ------
    InputError
        If no layer of labels is among them.
    """
    points = {_key(told)["path"]: (data, told) for data, told, kind in layers if kind == "points" and _key(told)}
    found = []
    for data, told, kind in layers:
        known = _key(told)
        if kind != "labels" or not known:
            continue
        labels = np.asarray(data)
        places, features = _classes(*points.get(known["path"], (np.empty((0, 2)), {})))
        cells = []
        for number, part in enumerate(ndimage.find_objects(labels.astype(np.int64)), start=1):
            if part is None:
                continue
            shape = Pixels(labels[part] == number, (part[1].start, part[0].start))
            label, chance = _class_of(labels, number, places, features)
            cells.append(Cell(label, shape.bounds(), shape, chance))
        size = labels.shape[1], labels.shape[0]
        found.append(AnnotatedImage(known["path"], tuple(cells), size, Path(known["file"])))
    if not found:
        raise InputError("no layer of cells is chosen: choose those that dorl opened, or all layers")
    return found


def _key(told: dict[str, Any]) -> dict[str, str]:
    return (told.get("metadata") or {}).get(KEY) or {}


def _middle(cell: Cell, size: tuple[int, int] | None) -> tuple[float, float]:
    """Row and column of the middle of a cell's box, as napari counts: the first pixel's centre is at (0, 0)."""
    left, top, right, bottom = cell.box_in(size or (0, 0))
    return (top + bottom - 1) / 2, (left + right - 1) / 2


def _classes(data: Any, told: dict[str, Any]) -> tuple[np.ndarray, pd.DataFrame]:
    places = np.asarray(data, np.float64).reshape(-1, 2)
    features = pd.DataFrame(told.get("features", {})).reset_index(drop=True)
    return places, features.reindex(index=range(len(places)), columns=["cell", "class", "probability"])


def _class_of(
    labels: np.ndarray, number: int, places: np.ndarray, features: pd.DataFrame
) -> tuple[str | None, float | None]:
    """The class of a cell, and its probability where the classifier gave it."""
    own = np.flatnonzero(features["cell"].to_numpy() == number)
    if not len(own):
        rows, columns = (np.rint(places[:, axis]).astype(int) for axis in (0, 1))
        inside = (rows >= 0) & (rows < labels.shape[0]) & (columns >= 0) & (columns < labels.shape[1])
        own = np.array([i for i in np.flatnonzero(inside) if labels[rows[i], columns[i]] == number], int)
    if not len(own):
        return None, None
    label, chance = features["class"].iat[own[0]], features["probability"].iat[own[0]]
    return (str(label) if pd.notna(label) and label else None), (None if pd.isna(chance) else float(chance))
