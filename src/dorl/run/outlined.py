"""Images with their cells, out of what dorl wrote or a lab has: for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains import Domain, read_domain
from dorl.domains.annotations import ANNOTATIONS, AnnotatedImage, Cell
from dorl.domains.annotations.reading import annotated_images
from dorl.domains.annotations.shapes import Pixels
from dorl.domains.gathering import fetched
from dorl.domains.images import probe_image
from dorl.domains.masks import read_values
from dorl.domains.readers import parse_lab
from dorl.domains.sources import FileSource
from dorl.domains.urls import file_at
from dorl.errors import BadImageError, InputError
from dorl.names import find_below, leads_out
from dorl.sheets import read_sheet

#: tables of a folder that `dorl count` or `dorl segment` wrote
CELLS, FIELDS = "cells.csv", "fields.csv"


def outlined_images(
    source: str | Path | Domain, *, images: str | Path | None = None
) -> tuple[list[AnnotatedImage], list[tuple[str, str]]]:
    """The images of a source, each with its cells.

    Parameters
    ----------
    source : str, Path or Domain
        A folder that `dorl count` or `dorl segment` wrote, or a lab as `dorl.read_domain` reads it.
    images : str or Path, optional
        The folder that paths in the tables of such a folder are relative to; the present one by default.

    Returns
    -------
    images : list of AnnotatedImage
        Each with its file and its size.
    left_out : list of (str, str)
        Path and reason.

    Raises
    ------
    InputError
        If the source can't be read, or nothing in it can be used.
    """
    source = source if isinstance(source, Domain) else fetched(source)
    place = None if isinstance(source, Domain) else Path(parse_lab(str(source))[1])
    left_out: list[tuple[str, str]] = []
    if place is not None and (place / CELLS).is_file():
        root = Path() if images is None else Path(images)
        read = _counted if (place / FIELDS).is_file() else _segmented
        found = read(place, root, left_out)
    elif images is not None:
        raise InputError(f"{source}: wasn't written by dorl count or dorl segment: leave --images out")
    else:
        found = _of_lab(source, left_out)
    if not found:
        why = f", the first since: {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise InputError(f"{source}: none of {len(left_out)} images can be used{why}; --images says where images lie")
    return found, left_out


def _counted(folder: Path, root: Path, left_out: list[tuple[str, str]]) -> list[AnnotatedImage]:
    """The fields of a count: outlines out of its masks, in the order of its table."""
    fields = read_sheet(folder / FIELDS, text=("path", "mask"))
    cells = read_sheet(folder / CELLS, text=("path", "class"))
    _need(folder / FIELDS, fields, ("path", "mask"))
    _need(folder / CELLS, cells, ("path", "xmin", "ymin", "xmax", "ymax", "class", "probability"))
    of_field = dict(list(cells.groupby("path", sort=False)))
    found = []
    for path, name in zip(fields["path"], fields["mask"], strict=True):
        file = root / file_at(path)
        try:
            size = probe_image(file)
            labels = _numbers(folder, name, size)
        except BadImageError as error:
            left_out.append((path, error.without(file)))
            continue
        rows = of_field.get(path, cells.iloc[:0])
        made = []
        for number, row in enumerate(rows.to_dict("records"), start=1):
            left, top, right, bottom = (int(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            part = labels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] == number
            shape = Pixels(part, (left, top)) if part.any() else None
            chance = None if pd.isna(row["probability"]) else float(row["probability"])
            box = (float(left), float(top), float(right), float(bottom))
            made.append(Cell(row["class"] or None, box, shape, chance))
        found.append(AnnotatedImage(path, tuple(made), size, file))
    return found


def _segmented(folder: Path, root: Path, left_out: list[tuple[str, str]]) -> list[AnnotatedImage]:
    """The images of a folder of masks, one cell each, where one was found."""
    table = read_sheet(folder / CELLS, text=("path", "mask"))
    _need(folder / CELLS, table, ("path", "mask"))
    found = []
    for path, name in zip(table["path"], table["mask"], strict=True):
        file = root / file_at(path)
        try:
            size = probe_image(file)
            mask = _numbers(folder, name, size) > 0
        except BadImageError as error:
            left_out.append((path, error.without(file)))
            continue
        cells = (_of_mask(mask, None),) if mask.any() else ()
        found.append(AnnotatedImage(path, cells, size, file))
    return found


def _of_lab(source: str | Path | Domain, left_out: list[tuple[str, str]]) -> list[AnnotatedImage]:
    """The images of a lab with its labels and masks; of annotations the whole images."""
    name, path = (None, source) if isinstance(source, Domain) else parse_lab(str(source))
    lab = path if isinstance(path, Domain) else read_domain(path, name=name, any_class=True)
    if lab.layout in ANNOTATIONS and not isinstance(path, Domain):
        _, found, outside = annotated_images(Path(path), lab.layout)
        left_out += outside
        return found
    if not isinstance(lab.source, FileSource):
        raise InputError(f"{source}: its images aren't files: give a folder, a manifest or an annotation file")
    left_out += list(lab.left_out.itertuples(index=False, name=None))
    found = []
    for i, (path_, label) in enumerate(zip(lab.table["path"], lab.table["label"], strict=True)):
        try:
            mask = lab.load_mask(i)
            size = lab.source.size(path_)
        except BadImageError as error:
            left_out.append((path_, lab.reason(i, error)))
            continue
        cell = Cell(label) if mask is None or not mask.any() else _of_mask(mask, label)
        found.append(AnnotatedImage(path_, (cell,), size, lab.file(i)))
    return found


def _of_mask(mask: np.ndarray, label: str | None) -> Cell:
    left, top, right, bottom = Pixels(mask).window()
    shape = Pixels(mask[top:bottom, left:right].copy(), (left, top))
    return Cell(label, shape.bounds(), shape)


def _numbers(folder: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """The picture of numbers of a file below a folder, (H, W). Raises BadImageError."""
    below = None if leads_out(name) else find_below(folder, name)
    if below is None or not (folder / below).resolve().is_relative_to(folder.resolve()):
        raise BadImageError(f"its mask {name} is missing")
    values = read_values(folder / below)[0][..., 0]
    if values.shape != (size[1], size[0]):
        raise BadImageError(f"its mask {name} has not the size of the image")
    return values


def _need(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]!r}: write it anew with this dorl")
