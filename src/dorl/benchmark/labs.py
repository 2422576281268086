"""The labs of a benchmark: images to cells without labels, and labels kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dorl.benchmark.code import CELLS_CODE
from dorl.benchmark.methods import Cells
from dorl.cells import CellStore
from dorl.cells.crop import square_crop
from dorl.cells.size import log_diameter
from dorl.classification.folds import stratified
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.run.classes import at_level
from dorl.run.copies import group_numbers
from dorl.run.embedding import prepared, segment_small
from dorl.run.settings import fingerprint
from dorl.runtime.inference import over_batches
from dorl.runtime.kept import code_digest, content_key
from dorl.runtime.progress import say, track
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells
from dorl.taxonomy import SharedLevel
from dorl.words import counted

#: tokens, masks and crops of a batch
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
#: these, and what the table is to hold of each cell
Made = tuple[Arrays, list[dict[str, float]]]


@dataclass(frozen=True)
class Lab:
    """A lab as the benchmark uses it.

    Parameters
    ----------
    domain : Domain
        Images that could be read, with those a source never needs left aside.
    labels : object array of shape (N,)
        Class of each image at the level that was asked for; None where it isn't compared.
    groups : int array of shape (N,), optional
        The same number for copies of an image, in whatever lab.
    """

    domain: Domain
    labels: NDArray[np.object_]
    groups: NDArray[np.int64] | None = None

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.domain.name

    @cached_property
    def digest(self) -> str:
        """Changes with the lab's files, labels and masks, and with those that are used."""
        return fingerprint(self.domain)

    def copies(self, other: Lab) -> NDArray[np.bool_]:
        """Which of the images are copies of an image of another lab: bool (N,)."""
        if self.groups is None or other.groups is None or other.name == self.name:
            return np.zeros(len(self.domain), bool)
        return np.isin(self.groups, other.groups)

    def take(self, rows: NDArray[Any]) -> Lab:
        """Some of the images, by number or by a mask."""
        groups = None if self.groups is None else self.groups[rows]
        return Lab(self.domain.take(rows), self.labels[rows], groups)

    @property
    def compared(self) -> NDArray[np.intp]:
        """Rows that have a class."""
        return np.flatnonzero([label is not None for label in self.labels])


def prepare_lab(domain: Domain, level: SharedLevel | None, *, only_source: bool) -> Lab:
    """A lab's labels at the wanted level.

    A lab that is only a source comes without the images that no class can be learnt from; the labels of a lab that is
    tested decide over none of its images, since methods may look at all of them.
    """
    labels = at_level(domain, level).labels
    if only_source:
        kept = np.array([label is not None for label in labels], bool)
        return Lab(domain, labels).take(kept)
    return Lab(domain, labels)


def readable(lab: Lab) -> Lab:
    """The lab without images that can't be read; each is opened once, which costs little beside embedding it."""
    kept = np.ones(len(lab.domain), bool)
    for i in range(len(lab.domain)):
        if isinstance(image := lab.domain.read(i), str):
            kept[i] = False
            say(f"left out: {lab.domain.key(i)}: {image}")
    if not kept.any():
        raise InputError(f"{lab.name}: not one of its {len(kept)} images could be read: give other images")
    return lab.take(kept)


def with_groups(labs: dict[str, Lab], copies: pd.DataFrame) -> dict[str, Lab]:
    """The labs with the numbers of their images' groups of copies."""
    names = [lab.name for lab in labs.values() for _ in range(len(lab.domain))]
    paths = [path for lab in labs.values() for path in lab.domain.table["path"]]
    groups, names_of = group_numbers(names, paths, copies), np.array(names, object)
    return {name: replace(lab, groups=groups[names_of == lab.name]) for name, lab in labs.items()}


def without_copies(lab: Lab, tested: Iterable[Lab]) -> tuple[Lab, list[str]]:
    """A lab that isn't tested without the images that are copies of tested labs', and what a reader should know."""
    copies = np.zeros(len(lab.domain), bool)
    for other in tested:
        copies |= lab.copies(other)
    if copies.all():
        raise InputError(f"all images of {lab.name} are copies of images of tested labs: leave it out")
    if not copies.any():
        return lab, []
    many = counted(int(copies.sum()), "image is a copy", "images are copies")
    return lab.take(~copies), [f"{lab.name}: {many} of tested labs': not looked at."]


def embed_lab(lab: Lab, segmenter: Segmenter, folder: Path, *, whole: bool) -> Cells:
    """Embed a lab, or open what lies there; an interrupted call goes on. The stores hold neither label nor path.

    Parameters
    ----------
    lab : Lab
    segmenter : Segmenter
    folder : Path
        For cells of this benchmark.
    whole : bool
        The published road, too.
    """
    key = content_key("cells", lab.digest, segmenter.digest(), segmenter.precision, code_digest(CELLS_CODE))
    place = folder / f"{lab.name}-{key}"
    square = _stored(lab, segmenter, place / "square", _square, segmenter.image_size)
    road = _stored(lab, segmenter, place / "whole", _whole, 128) if whole else None
    return Cells(lab.name, square, road, np.arange(len(lab.domain), dtype=np.intp), backbone=segmenter)


def _square(segmenter: Segmenter, images: Sequence[np.ndarray]) -> Made:
    cells = find_central_cells(segmenter, images)
    pairs = [square_crop(image, cell.mask, segmenter.image_size) for image, cell in zip(images, cells, strict=True)]
    crops, masks = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    sizes = [{"size": log_diameter(cell.mask)} for cell in cells]
    return (segmenter(crops).tokens.half().cpu().numpy(), masks, crops), sizes


def _whole(segmenter: Segmenter, images: Sequence[np.ndarray]) -> Made:
    return segment_small(segmenter, prepared(images, segmenter.image_size)), [{} for _ in images]


def _stored(
    lab: Lab,
    segmenter: Segmenter,
    path: Path,
    make: Callable[[Segmenter, Sequence[np.ndarray]], Made],
    crop_size: int,
) -> CellStore:
    store = CellStore.create(
        path, width=segmenter.width, grid=segmenter.grid, mask_size=segmenter.image_size, crop_size=crop_size
    )
    done, total = len(store), len(lab.domain)
    todo = range(done, total)

    def made(rows: Sequence[int]) -> Made:
        return make(segmenter, [lab.domain.load(i) for i in rows])

    batches = over_batches(made, todo, device=segmenter.device)
    what = f"embedding {lab.name} ({path.name})"
    for rows, (arrays, confidences) in track(
        batches, total=total, what=what, done=done, size=lambda pair: len(pair[0])
    ):
        store.append(*arrays, [{"key": str(row), **more} for row, more in zip(rows, confidences, strict=True)])
    return store


def draw(
    lab: Lab, *, per_class: int | None, folds: int, number: int, seed: int, first: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of a source lab to learn from, and to test the own lab on.

    Parameters
    ----------
    lab : Lab
    per_class : int, optional
        At most so many of each class are learnt from, drawn by `seed`.
    folds : int
        The stratified fold `number` is held out for the own lab; copies, and cells of a patient, lie in one fold.
    number, seed, first : int
        Number of the repetition, its seed, and that of the first, which draws the folds.
    """
    rows = lab.compared
    names = lab.labels[rows].astype(str)
    classes, counts = np.unique(names, return_counts=True)
    if (counts >= folds).sum() < 2:
        raise InputError(
            f"{lab.name}: a source needs two classes of {folds} cells or more: give other --classes, fewer --folds, "
            "or another --source"
        )
    groups = None if lab.groups is None else lab.groups[rows]
    patients = lab.domain.table["patient"].to_numpy(object)[rows]
    seed_of_folds = first + number // folds
    parts = stratified(names, groups, folds=folds, seed=seed_of_folds, name=lab.name, patients=patients)
    learn, held = parts[number % folds]
    order = seeded(seed).permutation(learn)
    kept = [order[names[order] == name][:per_class] for name in classes]
    return rows[np.sort(np.concatenate(kept))], rows[held]
