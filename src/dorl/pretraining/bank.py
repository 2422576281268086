"""All training pictures of the backbone as arrays on disk, one size, with what is known of each pixel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dorl.domains import Domain, read_image
from dorl.domains.boxes import Field
from dorl.domains.rendered import CELL_CLASSES, random_style, render_cell
from dorl.errors import BadImageError
from dorl.files import atomic, write_json
from dorl.pretraining.heldout import choose
from dorl.runtime.progress import say, track
from dorl.runtime.training import seeded

#: side of a stored picture, in pixels; a little more than the network's input, so that zooming in stays sharp
SIDE = 256
#: values of a target's pixels; NUCLEUS is part of the cell
BACKGROUND, CELL, NUCLEUS, UNKNOWN = 0, 1, 2, 255
#: a crop around a box of a field is this many times as wide as the box
REACH = 2.6
#: what lies this share of its sides outside a box is background for sure
MARGIN = 0.08
CHUNK = 100


@dataclass(frozen=True)
class Bank:
    """Pictures and targets, memory-mapped.

    Attributes
    ----------
    images : uint8 array of shape (N, S, S, 3)
        RGB, 0-255.
    targets : uint8 array of shape (N, S, S)
        `BACKGROUND`, `CELL`, `NUCLEUS` or `UNKNOWN`.
    table : DataFrame of N rows
        ``key`` (where the picture comes from), ``lab``, ``known`` (whether the target tells where the cell is),
        ``parts`` (whether nucleus and cytoplasm are told apart) and ``box`` (of the white cell in the middle, JSON
        [xmin, ymin, xmax, ymax] in pixels of the picture; empty where there is none).
    left_out : dict
        As of `dorl.pretraining.heldout.Chosen`.
    """

    images: np.ndarray
    targets: np.ndarray
    table: pd.DataFrame
    left_out: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)


#: a picture, its target and its row of the table
Entry = tuple[np.ndarray, np.ndarray, dict[str, Any]]


def build_bank(
    folder: Path,
    *,
    labs: Sequence[Domain],
    fields: dict[str, list[Field]],
    rendered: int,
    leave_out: str,
    seed: int,
) -> Bank:
    """Write or open a bank.

    Parameters
    ----------
    folder : Path
    labs : sequence of Domain
        Single-cell images; masks are used where there are some, classes never.
    fields : dict of str to list of Field
        Annotated fields by name of the lab.
    rendered : int
        How many rendered cells, each in a style of its own.
    leave_out : str
        Regular expression; a file whose name it matches is not used, nor a copy of it under any name
        (`dorl.pretraining.heldout.choose`). Nothing is left out where it is empty.
    seed : int
    """
    chosen = choose(labs, fields, leave_out)
    entries, shown = chosen.cells, chosen.fields
    identity = {
        "pictures": hashlib.sha256(
            json.dumps([lab.key(i) for lab, i in entries] + [f"{name}/{one.path.name}" for name, one in shown]).encode()
        ).hexdigest(),
        "rendered": rendered,
        "seed": seed,
        "left_out": chosen.left_out,
    }
    note = folder / "bank.json"
    if not (note.is_file() and json.loads(note.read_text(encoding="utf-8")) == identity):
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [(number, seed, min(CHUNK, rendered - CHUNK * number)) for number in range(-(-rendered // CHUNK))]
        _write(folder, _entries(entries, shown, jobs, seed), total=len(entries) + len(shown) + len(jobs))
        write_json(note, identity)
    return open_bank(folder)


def open_bank(folder: Path) -> Bank:
    """Open what `build_bank` wrote."""
    table = pd.read_parquet(folder / "table.parquet")
    count = len(table)
    images = np.memmap(folder / "images.u8", np.uint8, "r", shape=(count, SIDE, SIDE, 3))
    targets = np.memmap(folder / "targets.u8", np.uint8, "r", shape=(count, SIDE, SIDE))
    note = folder / "bank.json"
    left_out = json.loads(note.read_text(encoding="utf-8")).get("left_out", {}) if note.is_file() else {}
    return Bank(images, targets, table, left_out)


def _write(folder: Path, groups: Iterator[list[Entry]], *, total: int) -> None:
    rows: list[dict[str, Any]] = []
    with (
        atomic(folder / "images.u8") as images,
        atomic(folder / "targets.u8") as targets,
        images.open("wb") as pictures,
        targets.open("wb") as marks,
    ):
        for group in track(groups, total=total, what="collecting pictures"):
            for image, target, row in group:
                pictures.write(np.ascontiguousarray(image).tobytes())
                marks.write(np.ascontiguousarray(target).tobytes())
                rows.append(row)
    with atomic(folder / "table.parquet") as temporary:
        pd.DataFrame(rows).to_parquet(temporary)


def _entries(
    cells: Sequence[tuple[Domain, int]],
    fields: Sequence[tuple[str, Field]],
    jobs: Sequence[tuple[int, int, int]],
    seed: int,
) -> Iterator[list[Entry]]:
    for lab, i in cells:
        try:
            yield [from_cell(lab, i)]
        except BadImageError as error:
            say(f"left out: {lab.key(i)}: {error}")
            yield []
    for number, (name, one) in enumerate(fields):
        yield list(from_field(name, one, seeded(seed, 7, number)))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(render_chunk, jobs)


def from_cell(lab: Domain, i: int) -> Entry:
    """A single-cell image, squeezed to a square as the segmenter does it, with its mask where it has one."""
    image, mask = lab.load(i), lab.load_mask(i)
    picture = _resized(image, Image.Resampling.BILINEAR)
    target = np.full((SIDE, SIDE), UNKNOWN, np.uint8)
    levels = np.zeros(0)
    if mask is not None:
        target[:] = _resized(mask.astype(np.uint8), Image.Resampling.NEAREST)
        levels = read_levels(lab.root / lab.table["mask"].iat[i], mask.shape)
        if levels.size:
            target[:] = np.where(target > 0, _resized(levels, Image.Resampling.NEAREST), 0)
    return picture, target, _row(lab.key(i), lab.name, known=mask is not None, parts=bool(levels.size))


def read_levels(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """JTSC's masks tell 128 (cytoplasm) from 255 (nucleus): `CELL` and `NUCLEUS`, uint8 (H, W); else an empty array."""
    values = read_image(path)[..., 0] if path.is_file() else np.zeros((0, 0), np.uint8)
    if values.shape != shape or not {128, 255} <= set(np.unique(values).tolist()) <= {0, 128, 255}:
        return np.zeros(0, np.uint8)
    return np.select([values == 255, values == 128], [NUCLEUS, CELL], BACKGROUND).astype(np.uint8)


def from_field(name: str, field: Field, rng: np.random.Generator) -> Iterator[Entry]:
    """A crop around each white cell, and one without any where there is room.

    Within the boxes of white cells the target is unknown, elsewhere background.
    """
    white = field.of("WBC")
    if not len(white):
        return  # not every set has marked all white cells of such a field
    image = read_image(field.path)
    height, width = image.shape[:2]
    for number, box in enumerate(white):
        side = min(REACH * max(box[2] - box[0], box[3] - box[1]), width, height)
        if side < 24:
            continue
        corner = [np.clip((box[k] + box[k + 2] - side) / 2, 0, (width, height)[k] - side) for k in (0, 1)]
        picture, target, inside = _crop(image, white, corner, side)
        row = _row(f"{name}/{field.path.name}#{number}", name, known=False, parts=False)
        yield picture, target, {**row, "box": json.dumps(np.round(inside[number], 1).tolist())}
    side = min(width, height) * rng.uniform(0.35, 0.7)
    for _ in range(20):
        corner = [rng.uniform(0, width - side), rng.uniform(0, height - side)]
        apart = (
            (white[:, 2] < corner[0]) | (white[:, 0] > corner[0] + side)
            | (white[:, 3] < corner[1]) | (white[:, 1] > corner[1] + side)
        )  # fmt: skip
        if apart.all():
            picture, target, _ = _crop(image, white, corner, side)
            yield picture, target, _row(f"{name}/{field.path.name}#empty", name, known=True, parts=False)
            return


def _crop(
    image: np.ndarray, white: np.ndarray, corner: Sequence[float], side: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square of a field: picture, target, and the white cells' boxes in pixels of the picture."""
    box = (corner[0], corner[1], corner[0] + side, corner[1] + side)
    picture = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))
    inside = (white - np.tile(np.asarray(corner), 2)) * (SIDE / side)
    target = np.full((SIDE, SIDE), BACKGROUND, np.uint8)
    for left, top, right, bottom in inside:
        dx, dy = MARGIN * (right - left), MARGIN * (bottom - top)
        rows = slice(max(0, int(top - dy)), max(0, int(np.ceil(bottom + dy))))
        target[rows, max(0, int(left - dx)) : max(0, int(np.ceil(right + dx)))] = UNKNOWN
    return picture, target, inside


def render_chunk(job: tuple[int, int, int]) -> list[Entry]:
    """Render some cells, each in a style of its own."""
    number, seed, count = job
    rng = seeded(seed, number)
    entries: list[Entry] = []
    for position in range(count):
        label = list(CELL_CLASSES)[rng.integers(len(CELL_CLASSES))]
        cell = render_cell(label, random_style(rng), rng, size=SIDE)
        target = np.where(cell.mask, np.where(cell.nucleus, NUCLEUS, CELL), BACKGROUND).astype(np.uint8)
        entries.append((cell.image, target, _row(f"rendered/{number}-{position}", "rendered", known=True, parts=True)))
    return entries


def _row(key: str, lab: str, *, known: bool, parts: bool) -> dict[str, Any]:
    return {"key": key, "lab": lab, "known": known, "parts": parts, "box": ""}


def _resized(values: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), how))
