r"""How many white cells of annotated smear fields `dorl count` finds, and how much of what it finds are white cells.

    python tools/measure/fields.py BCCD_fields --only '[13579]\.' [--without-copies-of TXL_fields/bcd]
        [--segmenter tiny] [--sheet sheet.png]

Takes fields with boxes (YOLO or Pascal VOC). A found cell matches an annotated one where their boxes overlap by an IoU
of one half or more, one to one. Prints one JSON line: recall, precision, the counting error a field (the mean absolute
difference of both numbers of cells), the median IoU of what matches, and seconds a field, of the wall and of the
processor. `--without-copies-of` leaves out fields that stand in another set, too. The sheet shows the fields with
errors: outlines of what was found, boxes as annotated.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.optimize import linear_sum_assignment

from dorl.domains import read_image
from dorl.domains.boxes import Field, read_fields, without_copies
from dorl.runtime.inference import over_batches
from dorl.runtime.memory import keep_memory
from dorl.runtime.progress import track
from dorl.segmentation import Segmenter
from dorl.segmentation.fieldcells import FieldCell, label_picture
from dorl.segmentation.fields import find_cells
from dorl.segmentation.overlay import draw_cells

LEAST_IOU = 0.5
WIDTH, COLUMNS, MOST = 400, 4, 40
BOX = (213, 94, 0)


def overlaps(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of each found box with each annotated one, float (N, M)."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (found, truth)]
    return both / (areas[0][:, None] + areas[1][None] - both)


def matched(cells: list[FieldCell], truth: np.ndarray) -> np.ndarray:
    """IoU of each pair that matches, one to one."""
    found = np.array([cell.box for cell in cells], float).reshape(-1, 4)
    shared = overlaps(found, truth)
    shared = shared[linear_sum_assignment(-shared)]
    return shared[shared >= LEAST_IOU]


def drawn(field: Field, cells: list[FieldCell]) -> Image.Image:
    """One picture of the sheet."""
    image = read_image(field.path)
    labels = label_picture(cells, (image.shape[1], image.shape[0]))
    picture = Image.fromarray(draw_cells(image, labels, [f"{cell.confidence:.2f}" for cell in cells]))
    for box in field.of("WBC"):
        ImageDraw.Draw(picture).rectangle(tuple(box), outline=BOX, width=3)
    return picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)))


def write_sheet(pictures: list[Image.Image], path: Path, columns: int) -> None:
    """Write pictures of one width, so many side by side; a blank one where there are none."""
    width = max((picture.width for picture in pictures), default=1)
    height = max((picture.height for picture in pictures), default=1)
    sheet = Image.new("RGB", (width * columns, height * max(1, -(-len(pictures) // columns))))
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % columns * width, place // columns * height))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", type=Path)
    parser.add_argument("--only", default="", help="regular expression that is found in a file's name")
    parser.add_argument("--without-copies-of", type=Path, metavar="FIELDS", help="another set of annotated fields")
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--sheet", type=Path, help="picture of the fields with errors")
    given = parser.parse_args()
    keep_memory()
    segmenter = Segmenter.load(given.segmenter)
    fields = [field for field in read_fields(given.fields) if re.search(given.only, field.path.name)]
    if given.without_copies_of:
        fields = without_copies(fields, read_fields(given.without_copies_of))
    began, worked = time.monotonic(), time.process_time()
    made = over_batches(
        lambda some: find_cells(segmenter, read_image(some[0].path)), fields, device=segmenter.device, size=1
    )
    found = [cells for _, cells in track(made, total=len(fields), what="counting")]
    seconds = (time.monotonic() - began) / len(fields), (time.process_time() - worked) / len(fields)
    pairs = [matched(cells, field.of("WBC")) for field, cells in zip(fields, found, strict=True)]
    hits = sum(len(own) for own in pairs)
    truth = np.array([len(field.of("WBC")) for field in fields])
    counted = np.array([len(cells) for cells in found])
    if given.sheet:
        wrong = [i for i, own in enumerate(pairs) if not len(own) == truth[i] == counted[i]][:MOST]
        pictures = [drawn(fields[i], found[i]) for i in wrong]
        write_sheet(pictures, given.sheet, COLUMNS)
    result = {
        "folder": given.fields.name,
        "segmenter": given.segmenter,
        "fields": len(fields),
        "cells": int(truth.sum()),
        "recall": round(hits / max(1, int(truth.sum())), 4),
        "precision": round(hits / max(1, int(counted.sum())), 4),
        "counting_error": round(float(np.abs(counted - truth).mean()), 4),
        "median_iou": round(float(np.median(np.concatenate(pairs))), 3),
        "seconds_a_field": round(seconds[0], 3),
        "processor_seconds_a_field": round(seconds[1], 3),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
