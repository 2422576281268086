"""How well the mask of a field's white cell agrees with its annotated box.

    python tools/measure/boxes.py BCCD_fields [--only REGEX] [--without-copies-of TXL_fields/bcd]
        [--segmenter tiny] [--sheet sheet.png]

Takes the fields (YOLO or Pascal VOC) with exactly one white cell, and compares the bounding box of the mask that
`dorl segment` gives for the whole field. Prints one JSON line: the median overlap (IoU), and the share of fields above
0.5 and 0.7. `--without-copies-of` leaves out fields that stand in another set, too.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from dorl.domains import read_image
from dorl.domains.boxes import read_fields, without_copies
from dorl.runtime.memory import keep_memory
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells
from dorl.segmentation.overlay import draw_overlay

BATCH, SIDE, COLUMNS = 8, 240, 8


def overlap(mask: np.ndarray, box: np.ndarray) -> float:
    """IoU of a mask's bounding box and a box [xmin, ymin, xmax, ymax]."""
    if not mask.any():
        return 0.0
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    sides = np.minimum(found[2:], box[2:]) - np.maximum(found[:2], box[:2])
    both = float(np.prod(np.clip(sides, 0, None)))
    return both / (float(np.prod(found[2:] - found[:2])) + float(np.prod(box[2:] - box[:2])) - both)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", type=Path)
    parser.add_argument("--only", default="", help="regular expression that a file's name matches")
    parser.add_argument("--without-copies-of", type=Path, metavar="FIELDS", help="another set of annotated fields")
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--sheet", type=Path, help="picture of the outlines, the worst first")
    given = parser.parse_args()
    keep_memory()
    segmenter = Segmenter.load(given.segmenter)
    fields = [
        field
        for field in read_fields(given.fields)
        if len(field.of("WBC")) == 1 and re.search(given.only, field.path.name)
    ]
    if given.without_copies_of:
        fields = without_copies(fields, read_fields(given.without_copies_of))
    scores, drawn = [], []
    for start in range(0, len(fields), BATCH):
        some = fields[start : start + BATCH]
        images = [read_image(field.path) for field in some]
        for field, image, cell in zip(some, images, find_central_cells(segmenter, images), strict=True):
            scores.append(overlap(cell.mask, field.of("WBC")[0]))
            drawn.append(Image.fromarray(draw_overlay(image, cell.mask, cell.confidence)).resize((SIDE, SIDE)))
    found = np.array(scores)
    if given.sheet:
        worst = np.argsort(found)[: 6 * COLUMNS]
        sheet = Image.new("RGB", (SIDE * COLUMNS, SIDE * -(-len(worst) // COLUMNS)))
        for place, i in enumerate(worst):
            sheet.paste(drawn[i], (place % COLUMNS * SIDE, place // COLUMNS * SIDE))
        sheet.save(given.sheet)
    result = {
        "fields": len(found),
        "median_iou": round(float(np.median(found)), 3),
        "above_0.5": round(float((found > 0.5).mean()), 3),
        "above_0.7": round(float((found > 0.7).mean()), 3),
    }
    print(json.dumps({"folder": given.fields.name, "segmenter": given.segmenter, **result}))


if __name__ == "__main__":
    main()
