"""`dorl segment`: a mask of every image, outlines and measures where asked for, each saved as it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dorl.domains import Domain
from dorl.domains.gathering import Given, each_given, gather, place_of, tell_left_out
from dorl.errors import BadImageError, InputError
from dorl.files import is_stream
from dorl.run.folder import check_file, check_folder, refuse_run
from dorl.run.maskfolder import CELLS, MaskNotes
from dorl.runtime.inference import over_batches
from dorl.runtime.progress import say, track
from dorl.runtime.results import result_names
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import FoundCell, find_central_cells
from dorl.segmentation.measures import measure
from dorl.segmentation.overlay import draw_overlay
from dorl.words import counted

#: subfolder of the outlines
OVERLAY = "overlay"


@dataclass
class SegmentResult:
    """Counts of what `segment` did."""

    written: int = 0
    kept: int = 0
    without_cell: int = 0
    left_out: int = 0


def segment(
    lab: Given,
    *,
    out: str | Path,
    segmenter: str | Path = "tiny",
    overlay: bool = False,
    measures: str | Path | None = None,
    pixel_size: float | None = None,
    precision: str = "auto",
    device: str | None = None,
) -> SegmentResult:
    """Write the mask of every image of a lab, each as soon as it is made.

    Parameters
    ----------
    lab : str, Path or Domain, or several str or Path
        An image, a folder (searched below, too) or a manifest, each as a path or ``name=path``; or a lab.
    out : str or Path
        Folder for ``<stem>.png``: 0 and 255, at the image's own size, the white cell nearest the centre in one part
        without holes; all 0 where no cell was found. Where two images in different folders share a stem, the folder's
        name goes before it. ``cells.csv`` has path, mask, found, confidence (0-1) and whether the cell touches the
        image's border. Masks are kept by the content of their images. So an interrupted run goes on, and an image of
        the same name and other content gets its own mask. Masks of images that aren't given any more are removed. A
        mask that a person changed is used, and never lost.
    segmenter : str or Path
    overlay : bool
        Write ``overlay/<stem>.png``, too: the image with the cell's outline and confidence.
    measures : str or Path, optional
        CSV file to write: size, shape, colour and nucleus of each cell (`dorl.segmentation.measures.measure`).
    pixel_size : float, optional
        Side of a pixel of the images in µm; lengths and areas are given in µm, too.
    precision : {"auto", "float32", "bfloat16", "int8"}
        As for `Segmenter.load`.
    device : str, optional

    Returns
    -------
    SegmentResult

    Raises
    ------
    InputError
        If the images, the segmenter, `out`, `measures` or `pixel_size` can't be used.
    """
    if pixel_size is not None and measures is None:
        raise InputError("--pixel-size is for measures: give --measures FILE.csv, too")
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise InputError(f"pixel size is {pixel_size}: give the side of a pixel in µm, for example 0.1")
    each = each_given(lab)
    images = gather(lab)
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    table = None if measures is None else _table_place(Path(measures), out)
    names = result_names(images.table["path"].tolist())
    _keep_apart(images, names, out, each)
    network = Segmenter.load(segmenter, device=device, precision=precision)
    new = not out.exists()
    notes = MaskNotes.open(out, {"segmenter": network.digest(), "precision": network.precision})
    tell_left_out(images)
    done = SegmentResult(left_out=len(images.left_out))
    rows: dict[int, dict[str, Any]] = {}

    def finish(i: int, cell: FoundCell, image: np.ndarray | None = None) -> None:
        """Row, outline and measures of a cell."""
        path, picture = images.table["path"].iat[i], f"{OVERLAY}/{names[i]}"
        row = dict(
            zip(CELLS, (path, names[i], bool(cell.mask.any()), cell.confidence, cell.touches_border), strict=True)
        )
        values = None if table is None else notes.measures(contents[i], cell)
        undrawn = overlay and notes.lacks(picture, contents[i], cell)
        if undrawn or (table is not None and values is None):
            try:
                image = images.load(i) if image is None else image
            except BadImageError as error:
                say(f"not measured: {path}: {images.reason(i, error)}")
            else:
                if undrawn:
                    confidence = None if math.isnan(cell.confidence) else cell.confidence
                    notes.draw(picture, contents[i], cell, draw_overlay(image, cell.mask, confidence))
                if table is not None and values is None:
                    values = measure(image, cell.mask)
                    notes.measured(contents[i], cell, values)
        rows[i] = row | (values or {})

    contents = [images.source.digest(path) for path in images.table["path"]]
    todo = []
    for i, name in enumerate(names):
        try:
            known = notes.known(name, contents[i], images.source.size(images.table["path"].iat[i]))
        except BadImageError:  # said when it is read
            known = None
        if known is None:
            todo.append(i)
            continue
        cell, foreign = known
        finish(i, cell)
        if not foreign:
            notes.show(name, contents[i], cell)
        done.kept += 1
    for i, image, cell in _segmented(images, todo, network, done):
        finish(i, cell, image)
        notes.add(names[i], contents[i], cell)  # last, so that an image that has a mask has all else
        done.written += 1
        if not cell.found:
            done.without_cell += 1
            say(f"no cell found: {images.table['path'].iat[i]}")
    if not rows:
        if new:
            notes.discard()
        raise InputError("not one image could be read: give other images")
    written = [names[i] for i in sorted(rows)]
    asked = [*written, *(f"{OVERLAY}/{name}" for name in written if overlay)]
    notes.finish([rows[i] for i in sorted(rows)], asked, table, pixel_size)
    say(
        f"{counted(done.written, 'mask')} written, {done.without_cell} of them without a cell, "
        f"{done.kept} were there already, "
        f"{counted(done.left_out, 'image')} left out: {out}"
    )
    return done


def _segmented(
    images: Domain, todo: Sequence[int], network: Segmenter, done: SegmentResult
) -> Iterator[tuple[int, np.ndarray, FoundCell]]:
    """Row, image and cell; unreadable images are told and counted instead."""

    def found(rows: Sequence[int]) -> list[tuple[int, np.ndarray, FoundCell] | tuple[int, str]]:
        loaded = {i: images.read(i) for i in rows}
        arrays = {i: image for i, image in loaded.items() if not isinstance(image, str)}
        cells = dict(zip(arrays, find_central_cells(network, list(arrays.values())), strict=True))
        return [(i, arrays[i], cells[i]) if i in cells else (i, str(loaded[i])) for i in rows]

    batches = over_batches(found, todo, device=network.device)
    tracked = track(
        batches, total=len(images), what="segmenting", done=len(images) - len(todo), size=lambda pair: len(pair[0])
    )
    for _, outcomes in tracked:
        for outcome in outcomes:
            if len(outcome) == 3:
                yield outcome
            else:
                say(f"left out: {images.table['path'].iat[outcome[0]]}: {outcome[1]}")
                done.left_out += 1


def _table_place(table: Path, out: Path) -> Path:
    """Refuse a place for the measures that can't be a file, or that is something else's."""
    if table.is_dir():
        raise InputError(f"{table}: is a folder; give a file for --measures, for example measures.csv")
    if table.resolve() == (out / "cells.csv").resolve():
        raise InputError(f"{table}: is the list of cells; give another file for --measures")
    if table.suffix.lower() != ".csv" and not is_stream(table):
        raise InputError(f"{table}: give a file that ends in .csv for --measures")
    check_file(table)
    return table


def _keep_apart(images: Domain, names: Sequence[str], out: Path, given: Sequence[str | Path | Domain]) -> None:
    """Refuse an `out` where masks would be taken for images: of the same name, or below a folder that is searched."""
    place = out.resolve()
    pictures = {images.file(i).absolute() for i in range(len(images))}
    pictures |= {picture.resolve() for picture in pictures}
    folders = [place_of(one) for one in given if not isinstance(one, Domain)]
    searched = any(folder.is_dir() and place.is_relative_to(folder.resolve()) for folder in folders)
    if searched or any(place / name in pictures for name in names):
        raise InputError(f"{out}: lies among the images, masks would be taken for them; choose another --out")
