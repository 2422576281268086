"""`dorl predict`: classes of new images, written as they are made and renamed when whole."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains import Domain, read_domain
from dorl.domains.images import probe_image
from dorl.errors import BadImageError, InputError
from dorl.files import atomic
from dorl.pipeline.model import BATCH, DoRL
from dorl.progress import say, track
from dorl.training import prefetch


@dataclass
class Predicted:
    """What became of the images: counts, and the reasons of those left out."""

    images: int
    without_cell: int
    left_out: list[tuple[str, str]]


def read_images(path: str | Path | Domain) -> Domain:
    """Read one image file, a manifest, or every image below a folder, whatever it says of classes."""
    if isinstance(path, Domain):
        return path
    path = Path(path)
    if path.is_file() and path.suffix.lower() not in (".csv", ".parquet", ".npz"):
        try:
            probe_image(path)
        except BadImageError as error:
            raise InputError(f"{error}; give an image, a folder of images or a manifest") from error
        return Domain("images", path.parent, "flat", pd.DataFrame({"path": [path.name]}))
    return read_domain(path, name="images", layout="flat" if path.is_dir() else "auto")


def predict(
    run: str | Path,
    images: str | Path | Domain,
    *,
    out: str | Path,
    classifier: str | None = None,
    device: str | None = None,
) -> Predicted:
    """Classify images with a run.

    Parameters
    ----------
    run : str or Path
    images : str, Path or Domain
        An image, a folder (searched below, too), a manifest, or a lab.
    out : str or Path
        CSV: path, class, probability, then a column a class with its probability, in the run's order of classes.
    classifier : str, optional
        One of the run's six; its default otherwise.
    device : str, optional

    Returns
    -------
    Predicted

    Raises
    ------
    InputError
        If the run or the images can't be used, or `out` is no place for a file.
    """
    out = Path(out)
    if out.is_dir():
        raise InputError(f"{out}: is a folder; give a file for --out, for example predictions.csv")
    model = DoRL.load(run, classifier=classifier, device=device)
    classes = model.classes_
    lab = read_images(images)
    result = Predicted(0, 0, list(lab.left_out.itertuples(index=False, name=None)))
    with atomic(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "class", "probability", *classes])
        for paths, arrays in _batches(lab, result):
            probabilities, found = model.classify(arrays)
            best = probabilities.argmax(1)
            for path, row, index in zip(paths, probabilities, best, strict=True):
                writer.writerow(
                    [path, classes[index], f"{row[index]:.6f}", *(f"{value:.6f}" for value in row)]
                )
            result.images += len(paths)
            result.without_cell += int((~found).sum())
        if not result.images:
            raise InputError("not one image could be read: give other images")
    say(
        f"{result.images} images classified, {result.without_cell} of them without a cell that could be made out, "
        f"{len(result.left_out)} left out: {out}"
    )
    return result


def _batches(lab: Domain, result: Predicted) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Paths and images, `BATCH` at a time; unreadable ones go into `result` instead."""

    def load(i: int) -> np.ndarray | str:
        try:
            return lab.load(i)
        except BadImageError as error:
            return str(error)

    paths: list[str] = []
    arrays: list[np.ndarray] = []
    loaded = track(prefetch(load, range(len(lab)), ahead=2 * BATCH), total=len(lab), what="classifying")
    for i, image in enumerate(loaded):
        path = lab.table["path"].iat[i]
        if isinstance(image, str):
            say(f"left out: {image}")
            result.left_out.append((path, image))
        else:
            paths.append(path)
            arrays.append(image)
        if paths and (len(paths) == BATCH or i + 1 == len(lab)):
            yield paths, arrays
            paths, arrays = [], []
