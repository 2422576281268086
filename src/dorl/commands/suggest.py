"""`dorl suggest`: which cells of a new lab to label first, as a manifest to fill in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dorl.classification.selection import select_cells
from dorl.domains import Domain
from dorl.domains.gathering import read_images, tell_left_out
from dorl.domains.sources import FileSource
from dorl.errors import InputError
from dorl.files import is_stream
from dorl.names import plain_path, text_of
from dorl.run.folder import check_folder, make_folder
from dorl.run.looked import look
from dorl.run.model import DoRL
from dorl.run.presets import check_seed
from dorl.runtime.progress import say
from dorl.sheets import write_sheet
from dorl.words import counted


def suggest(
    run: str | Path,
    images: str | Path | Domain,
    *,
    out: str | Path,
    n: int = 50,
    seed: int = 0,
    device: str | None = None,
) -> pd.DataFrame:
    """List the cells whose labels would help most.

    Parameters
    ----------
    run : str or Path
        A folder that `fit` made. Its features group the cells, and its classifier's doubt chooses among them.
    images : str, Path or Domain
        An image, a folder (searched below, too), a manifest, or a lab.
    out : str or Path
        CSV to write, in the images' folder or above it: ``image``, relative to the CSV's own folder, an empty ``label``
        to fill in, and the run's ``predicted`` class with its ``probability``. Once filled in it is a manifest that
        `fit` reads.
    n : int
        How many cells.
    seed : int
    device : str, optional

    Returns
    -------
    DataFrame
        What was written, the cells that stand for most others first.

    Raises
    ------
    InputError
        If the run, the images or `out` can't be used.
    """
    if n < 1:
        raise InputError(f"n is {n}: give 1 or more")
    check_seed(seed)
    out = Path(out)
    lab = read_images(images)
    _check_place(out, lab)
    model = DoRL.load(run, device=device)
    tell_left_out(lab)
    paths: list[str] = []
    parts: list[np.ndarray] = []
    without = 0
    for batch in look(model, lab, what="embedding cells"):
        found = batch.confidence > 0
        paths += [path for path, is_cell in zip(batch.paths, found, strict=True) if is_cell]
        if batch.paths:
            parts.append(batch.inputs[found])
        without += int((~found).sum())
    if not paths and not without:
        raise InputError("not one image could be read: give other images")
    if not paths:
        raise InputError(f"no cell was found in {counted(without, 'image')}: give images of white cells")
    if without:
        many = counted(without, "image")
        say(f"not suggested, since no cell could be made out: {many}")
    features = np.concatenate(parts)
    probabilities = None if model.classifier is None else model.assess(features).probabilities
    rows = select_cells(model.features(features), probabilities, n, seed=seed)
    place = lab.root.resolve().relative_to(out.resolve().parent)
    above = "" if place == Path() else f"{text_of(place.as_posix())}/"
    table = pd.DataFrame(
        {"image": pd.Series([plain_path(above + paths[row]) for row in rows], dtype=object), "label": ""}
    )
    if probabilities is not None:
        table["predicted"] = np.array(model.classes_)[probabilities[rows].argmax(1)]
        table["probability"] = probabilities[rows].max(1).round(4)
    make_folder(out.parent)
    write_sheet(out, table, number=".4f")
    say(f"{len(table)} of {len(paths)} cells to label: {out}; fill in the column label")
    return table


def _check_place(out: Path, lab: Domain) -> None:
    if not isinstance(lab.source, FileSource):
        raise InputError(f"{lab.root}: its cells are no files of their own, which a manifest could list: give images")
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise InputError(f"{out}: give a file that ends in .csv for --out")
    if out.is_symlink() or is_stream(out):
        raise InputError(f"{out}: is a link, pipe or device; give a file in the images' folder or above it for --out")
    if out.exists():
        raise InputError(f"{out}: is there already, perhaps with labels; give another file for --out")
    if not lab.root.resolve().is_relative_to(out.resolve().parent):
        raise InputError(
            f"{out}: not in the images' folder or above it, where a manifest must lie; give {lab.root / out.name}"
        )
    check_folder(out.parent)
