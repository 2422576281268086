"""`dorl segment`: a mask of every image, outlines and measures where asked for, each saved as it is made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from dorl.domains import Domain, parse_lab, read_image
from dorl.errors import BadImageError, InputError
from dorl.files import atomic
from dorl.inference import over_batches
from dorl.pipeline.masknotes import CELLS, MaskNotes
from dorl.pipeline.measures import measure
from dorl.pipeline.prediction import read_images, tell_left_out
from dorl.pipeline.runfolder import check_folder, refuse_run
from dorl.progress import say, track
from dorl.reporting.overlay import draw_overlay
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import FoundCell, find_cells


@dataclass
class Segmented:
    """Counts of what `segment` did."""

    written: int = 0
    kept: int = 0
    without_cell: int = 0
    left_out: int = 0


def segment(
    lab: str | Path | Domain,
    *,
    out: str | Path,
    segmenter: str | Path = "tiny",
    overlay: bool = False,
    measures: str | Path | None = None,
    pixel_size: float | None = None,
    precision: str = "auto",
    device: str | None = None,
) -> Segmented:
    """Write the mask of every image of a lab, each as soon as it is made.

    Parameters
    ----------
    lab : str, Path or Domain
        An image, a folder (searched below, too) or a manifest, each as a path or ``name=path``; or a lab.
    out : str or Path
        Folder for ``<stem>.png``: 0 and 255, at the image's own size, the white cell nearest the centre in one part
        without holes; all 0 where no cell was found. Where two images in different folders share a stem, the folder's
        name goes before it. Also gets ``cells.csv``: path, mask, found, confidence (0-1) and whether the cell touches
        the image's border. Masks that are there already are kept, so that an interrupted run goes on.
    segmenter : str or Path
    overlay : bool
        Write ``overlay/<stem>.png``, too: the image with the cell's outline and confidence.
    measures : str or Path, optional
        CSV file to write: size, shape, colour and nucleus of each cell (`dorl.pipeline.measures.measure`).
    pixel_size : float, optional
        Side of a pixel of the images in µm; lengths and areas are given in µm, too.
    precision : {"auto", "float32", "bfloat16", "int8"}
        As for `Segmenter.load`.
    device : str, optional

    Returns
    -------
    Segmented

    Raises
    ------
    InputError
        If the images, the segmenter, `out`, `measures` or `pixel_size` can't be used.
    """
    if pixel_size is not None and measures is None:
        raise InputError("--pixel-size is for measures: give --measures FILE.csv, too")
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise InputError(f"pixel size is {pixel_size}: give the side of a pixel in µm, for example 0.1")
    given = parse_lab(lab)[1] if isinstance(lab, str) else lab
    images = read_images(given)
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    table = None if measures is None else _table_place(Path(measures), out, images)
    names = mask_names(images.table["path"].tolist())
    _keep_apart(images, names, out, searched=not isinstance(given, Domain) and Path(given).is_dir())
    network = Segmenter.load(segmenter, device=device, precision=precision)
    new = not out.exists()
    notes = MaskNotes.open(out, {"images": images.root.resolve().as_posix(), "segmenter": network.digest()})
    tell_left_out(images)
    done = Segmented(left_out=len(images.left_out))
    todo = [i for i, name in enumerate(names) if not (out / name).exists()]
    done.kept = len(names) - len(todo)

    def record(i: int, image: np.ndarray, cell: FoundCell, *, known: bool) -> None:
        """Picture and measures; the mask comes last, so that an image that has one has all else."""
        path, picture = images.table["path"].iat[i], out / "overlay" / names[i]
        confidence = notes.confidence(path) if known else cell.confidence
        if overlay:
            with atomic(picture) as temporary:
                Image.fromarray(draw_overlay(image, cell.mask, confidence)).save(temporary)
        values = measure(image, cell.mask) if table is not None else {}
        row = (path, names[i], bool(cell.mask.any()), confidence, cell.touches_border)
        notes.add(dict(zip(CELLS, row, strict=True)) | values)

    for i, image, cell in _segmented(images, todo, network, done):
        record(i, image, cell, known=False)
        with atomic(out / names[i]) as temporary:
            Image.fromarray(cell.mask.astype(np.uint8) * 255).save(temporary)
        done.written += 1
        if not cell.found:
            done.without_cell += 1
            say(f"no cell found: {images.table['path'].iat[i]}")
    if not done.written + done.kept:
        if new:
            notes.discard()
        raise InputError("not one image could be read: give other images")
    for i in set(range(len(names))) - set(todo):
        path = images.table["path"].iat[i]
        if (overlay and not (out / "overlay" / names[i]).exists()) or (table is not None and not notes.measured(path)):
            try:
                image, mask = images.load(i), read_image(out / names[i])[..., 0] > 127
            except BadImageError as error:
                say(f"not measured: {path}: {error}")
                continue
            if mask.shape != image.shape[:2]:
                raise InputError(f"{out / names[i]}: has not the size of {path}: remove it, or choose another --out")
            record(i, image, FoundCell(mask, 0.0), known=True)
    notes.finish(images.table["path"].tolist(), names, table, pixel_size)
    say(
        f"{done.written} masks written, {done.without_cell} of them without a cell, {done.kept} were there already, "
        f"{done.left_out} images left out: {out}"
    )
    return done


def _segmented(
    images: Domain, todo: Sequence[int], network: Segmenter, done: Segmented
) -> Iterator[tuple[int, np.ndarray, FoundCell]]:
    """Row, image and cell; unreadable images are told and counted instead."""

    def found(rows: Sequence[int]) -> list[tuple[int, np.ndarray, FoundCell] | tuple[int, str]]:
        loaded: dict[int, np.ndarray | str] = {}
        for i in rows:
            try:
                loaded[i] = images.load(i)
            except BadImageError as error:
                loaded[i] = images.reason(i, error)
        arrays = {i: image for i, image in loaded.items() if not isinstance(image, str)}
        cells = dict(zip(arrays, find_cells(network, list(arrays.values())), strict=True))
        return [(i, arrays[i], cells[i]) if i in cells else (i, str(loaded[i])) for i in rows]

    made = over_batches(found, todo, device=network.device)
    told = track(
        made, total=len(images), what="segmenting", done=len(images) - len(todo), size=lambda pair: len(pair[0])
    )
    for _, outcomes in told:
        for outcome in outcomes:
            if len(outcome) == 3:
                yield outcome
            else:
                say(f"left out: {images.table['path'].iat[outcome[0]]}: {outcome[1]}")
                done.left_out += 1


def _table_place(table: Path, out: Path, images: Domain) -> Path:
    """Refuse a place for the measures that can't be a file, or that is something else's."""
    if table.is_dir():
        raise InputError(f"{table}: is a folder; give a file for --measures, for example measures.csv")
    if table.resolve() == (out / "cells.csv").resolve():
        raise InputError(f"{table}: is the list of cells; give another file for --measures")
    if table.suffix.lower() != ".csv":
        raise InputError(f"{table}: give a file that ends in .csv for --measures")
    check_folder(table.parent)
    return table


def mask_names(paths: Sequence[str]) -> list[str]:
    """File names of masks: the stem, with the folders before it where the stem alone isn't unique."""
    stems = [PurePosixPath(path).stem for path in paths]
    often = Counter(stems)
    names = [
        stem if often[stem] == 1 else "_".join([*PurePosixPath(path).parts[:-1], stem])
        for path, stem in zip(paths, stems, strict=True)
    ]
    # two files of one folder can still differ by their ending alone
    twice = Counter(names)
    names = [
        name if twice[name] == 1 else f"{name}_{PurePosixPath(path).suffix[1:]}"
        for path, name in zip(paths, names, strict=True)
    ]
    # a/x.png and a_x.png still come out alike
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i] in taken:
            number += 1
            names[i] = f"{name}_{number}"
        taken.add(names[i])
    return [f"{name}.png" for name in names]


def _keep_apart(images: Domain, names: Sequence[str], out: Path, *, searched: bool) -> None:
    """Refuse an `out` where masks would be taken for images: of the same name, or below a folder that is searched."""
    place, root = out.resolve(), images.root.resolve()
    pictures = {root / path for path in images.table["path"]}
    if any(place / name in pictures for name in names) or (searched and place.is_relative_to(root)):
        raise InputError(f"{out}: lies among the images, masks would be taken for them; choose another --out")
