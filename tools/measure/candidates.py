r"""How many white cells `dorl count` looks for in a slide's small level: candidates in reduced fields with boxes.

    python tools/measure/candidates.py BCCD_fields --only '[13579]\.' [--red-cells 3,4,5,7]

Takes fields with boxes of white and red cells (YOLO or Pascal VOC). Each is reduced by a whole number, so that a red
cell, the median of the field's boxes, is as wide as said, or a little wider. Prints one JSON line a width: the share of
white cells in whose box a candidate lies, candidates a field outside of all such boxes, and processor seconds a field.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dorl.domains import read_image
from dorl.domains.boxes import Field, read_fields
from dorl.segmentation.ruler import INSCRIBED
from dorl.segmentation.slidemap import LEAST_DYE
from dorl.segmentation.smear import find_dye


def looked_for(field: Field, width: float) -> tuple[int, int, int, float] | None:
    """White cells with a candidate, all white cells, candidates elsewhere, and seconds; None without red cells."""
    red, white = field.of("RBC"), field.of("WBC")
    if not len(red):
        return None
    image = read_image(field.path)
    unit = INSCRIBED * float(np.median((red[:, 2:] - red[:, :2]).mean(axis=1)))
    step = max(1, int(unit / width))
    small = np.asarray(Image.fromarray(image).reduce(step))
    start = time.process_time()
    places = [
        step * (np.array([place.column, place.row]) + 0.5)
        for place in find_dye(small, unit / step, light=np.percentile(small, 95, axis=(0, 1))).places
        if place.dye >= LEAST_DYE
    ]
    seconds = time.process_time() - start
    at = np.array(places).reshape(-1, 1, 2)
    inside = ((at >= white[None, :, :2]) & (at < white[None, :, 2:])).all(axis=2)
    return int(inside.any(axis=0).sum()), len(white), int((~inside.any(axis=1)).sum()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", type=Path)
    parser.add_argument("--only", default="", help="regular expression that a file name must match")
    parser.add_argument("--red-cells", default="3,4,5,7", help="widths of a red cell in pixels, with commas")
    options = parser.parse_args()
    fields = [field for field in read_fields(options.fields) if re.search(options.only, field.path.name)]
    for width in (float(text) for text in options.red_cells.split(",")):
        counts = [found for field in fields if (found := looked_for(field, width)) is not None]
        seen, cells, elsewhere, seconds = (sum(column) for column in zip(*counts, strict=True))
        print(
            json.dumps(
                {
                    "red_cell": width,
                    "fields": len(counts),
                    "cells": cells,
                    "with_candidate": round(seen / cells, 4),
                    "elsewhere_a_field": round(elsewhere / len(counts), 2),
                    "seconds_a_field": round(seconds / len(counts), 4),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
