r"""How `dorl count` finds the annotated white cells of real fields that were made hard.

    python tools/measure/stressed_fields.py BCCD_fields --only '[02468]\.' [--each 24] [--kinds rim small]
        [--sheet sheet.png]

Takes fields with boxes (YOLO or Pascal VOC), scales them until a red cell is as wide as asked, and puts them together
into a field of the kind's size, of which a part is kept. Then every pixel's stain is made paler, the light pink at the
rim and grey in the middle, or darker there, and noise and JPEG are added. Kinds (`KINDS`): "rim" and "pale" are
1440×900 with red cells 32 to 61 pixels wide, pale under such a light; "flat" has hardly any contrast; "dim" is dark at
one side;
"small" are 256×256 pixels around a cell. Prints a JSON line a kind: recall and precision (boxes, IoU of one half), the
ruler over the red cells' true width, and processor seconds. Cells of which less than half is seen don't count.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fields import BOX, LEAST_IOU, overlaps, write_sheet
from PIL import Image, ImageDraw
from scipy.optimize import linear_sum_assignment

from dorl.domains import read_image
from dorl.domains.boxes import Field, read_fields
from dorl.segmentation import Segmenter
from dorl.segmentation.fieldcells import FieldCell, label_picture
from dorl.segmentation.fields import search
from dorl.segmentation.overlay import draw_cells
from dorl.segmentation.smear import cleared

GREY, PINK = np.array((196.0, 196.0, 192.0)), np.array((226.0, 168.0, 186.0))
SHEET, COLUMNS = 480, 3


@dataclass(frozen=True)
class Kind:
    """How fields are made hard: size in pixels, red cells' widths, share of stain left, rim's colour, darkest side."""

    size: tuple[int, int]
    red: tuple[float, float]
    stain: tuple[float, float]
    rim: bool = False
    dark: float = 0.0
    noise: float = 3.0


KINDS = {
    "rim": Kind((1440, 900), (32, 61), (0.5, 0.8), rim=True, dark=0.3),
    "pale": Kind((1440, 900), (32, 61), (0.3, 0.5), rim=True, dark=0.2, noise=4.0),
    "flat": Kind((1440, 900), (32, 61), (0.15, 0.25), rim=True, noise=2.0),
    "dim": Kind((1440, 900), (60, 110), (0.6, 1.0), dark=0.8),
    "small": Kind((256, 256), (28, 50), (0.7, 1.0), noise=2.0),
    "small pale": Kind((256, 256), (28, 50), (0.3, 0.5), rim=True, dark=0.3),
}


def scaled(field: Field, red: float) -> tuple[np.ndarray, np.ndarray] | None:
    """A field and its boxes of white cells with red cells `red` pixels wide; None where no red cell has a box."""
    cells = field.of("RBC")
    if not len(cells):
        return None
    image = read_image(field.path)
    factor = red / float(np.median(cells[:, 2:] - cells[:, :2]))
    size = tuple(max(1, round(factor * side)) for side in image.shape[1::-1])
    picture = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    return picture, factor * field.of("WBC").astype(float)


def together(
    fields: list[Field], kind: Kind, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One large field of several, or a part of one around a cell.

    Returns
    -------
    image : uint8 array of shape (H, W, 3)
    boxes, cut : float arrays of shape (N, 4) and (M, 4)
        Of white cells of which half or more is seen, and of the others.
    red : float
        Width of a red cell in pixels.
    """
    width, height = (max(600, side) for side in kind.size)
    red = float(rng.uniform(*kind.red))
    image, boxes = np.zeros((height, width, 3), np.uint8), []
    top = left = row = 0
    while top < height:
        made = scaled(fields[int(rng.integers(len(fields)))], red)
        if made is None:
            continue
        part = made[0][: height - top, : width - left]
        image[top : top + part.shape[0], left : left + part.shape[1]] = part
        corner, end = np.array((left, top)), np.array((left + part.shape[1], top + part.shape[0]))
        boxes += [(box + np.r_[corner, corner], end) for box in made[1]]
        row = part.shape[0] if left == 0 else min(row, part.shape[0])
        left += part.shape[1]
        if left >= width:
            top, left = top + row, 0
    x = y = 0
    if kind.size != (width, height):  # the part around a cell
        middle = boxes[int(rng.integers(len(boxes)))][0].reshape(2, 2).mean(0) + rng.uniform(-60, 60, 2)
        x, y = np.clip(middle - np.array(kind.size) / 2, 0, np.array((width, height)) - kind.size).astype(int)
        image = image[y : y + kind.size[1], x : x + kind.size[0]]
    kept, cut = [], []
    for box, end in boxes:
        own = box - (x, y, x, y)
        low, high = np.maximum(own[:2], 0), np.minimum(np.minimum(own[2:], end - (x, y)), kind.size)
        if (high > low).all():
            seen = np.prod(high - low) / np.prod(own[2:] - own[:2])
            (kept if seen >= 0.5 else cut).append([*low, *high])
    return image, np.array(kept).reshape(-1, 4), np.array(cut).reshape(-1, 4), red


def lit(image: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """The field paler, under the kind's light, with noise, through JPEG."""
    height, width = image.shape[:2]
    light = np.percentile(image, 97, axis=(0, 1))
    density = np.clip(np.log((light + 1) / (image.astype(float) + 1)), 0, None) * rng.uniform(*kind.stain)
    down, across = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    shift, way = rng.uniform(-0.25, 0.25, 2), rng.uniform(0, 2 * np.pi)
    away = np.clip(((across - shift[0]) ** 2 + (down - shift[1]) ** 2) / 3, 0, 1)[..., None]
    lamp = GREY + away**1.5 * (PINK - GREY) if kind.rim else np.broadcast_to(light, image.shape)
    fall = 1 - kind.dark * (0.5 + 0.35 * (np.cos(way) * across + np.sin(way) * down))[..., None]
    made = lamp * fall * np.exp(-density) + rng.normal(0, kind.noise, image.shape)
    held = io.BytesIO()
    Image.fromarray(np.clip(made, 0, 255).astype(np.uint8)).save(held, "JPEG", quality=int(rng.integers(60, 92)))
    return np.asarray(Image.open(held).convert("RGB"))


def judged(cells: list[FieldCell], boxes: np.ndarray, cut: np.ndarray) -> tuple[int, int]:
    """Boxes found, and finds that are none; a find whose middle lies in a box of a cell that is cut is neither."""
    found = np.array([cell.box for cell in cells], float).reshape(-1, 4)
    shared = overlaps(found, boxes)
    rows, columns = linear_sum_assignment(-shared)
    right = rows[shared[rows, columns] >= LEAST_IOU]
    middles = (found[:, :2] + found[:, 2:]) / 2
    inside = (middles[:, None] >= cut[None, :, :2]) & (middles[:, None] <= cut[None, :, 2:])
    other = inside.all(2).any(1)
    other[right] = False
    return len(right), len(cells) - len(right) - int(other.sum())


def drawn(image: np.ndarray, cells: list[FieldCell], boxes: np.ndarray, name: str) -> Image.Image:
    """One picture of the sheet."""
    picture = Image.fromarray(draw_cells(image, label_picture(cells, image.shape[1::-1]), [name] * len(cells)))
    for box in boxes:
        ImageDraw.Draw(picture).rectangle(tuple(box), outline=BOX, width=3)
    return picture.resize((SHEET, round(SHEET * picture.height / picture.width)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", type=Path)
    parser.add_argument("--only", default="", help="regular expression that is found in a file's name")
    parser.add_argument("--each", type=int, default=24, help="fields of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--sheet", type=Path, help="picture of the fields with errors")
    given = parser.parse_args()
    torch.set_num_threads(1)
    segmenter = Segmenter.load(given.segmenter)
    fields = [field for field in read_fields(given.fields) if re.search(given.only, field.path.name)]
    wrong = []
    for name in given.kinds:
        hits = false = truth = 0
        rulers, spent = [], []
        for number in range(given.each):
            rng = np.random.default_rng([given.seed, list(KINDS).index(name), number])
            image, boxes, cut, red = together(fields, KINDS[name], rng)
            image = lit(image, KINDS[name], rng)
            began = time.process_time()
            found = search(segmenter, image)
            spent.append(time.process_time() - began)
            right, none = judged(found.cells, boxes, cut)
            hits, false, truth = hits + right, false + none, truth + len(boxes)
            rulers.append((found.ruler.diameter or np.nan) / red)
            if right < len(boxes) or none:
                wrong.append(drawn(cleared(image), found.cells, boxes, f"{name} {number}"))
        line = {
            "kind": name,
            "fields": given.each,
            "cells": truth,
            "recall": round(hits / max(1, truth), 3),
            "precision": round(hits / max(1, hits + false), 3),
            "ruler": [round(float(value), 2) for value in np.nanpercentile(rulers, [0, 25, 50, 75, 100])],
            "processor_seconds": round(float(np.median(spent)), 2),
            "slowest": round(max(spent), 2),
        }
        print(json.dumps(line), flush=True)
    if given.sheet and wrong:
        write_sheet(wrong, given.sheet, COLUMNS)


if __name__ == "__main__":
    main()
