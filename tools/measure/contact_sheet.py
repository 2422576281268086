"""Outlines of the cells that a segmenter finds in images without masks, for a look.

    python tools/measure/contact_sheet.py BCCD_cropped --out bccd.png [--count 48] [--seed 0]

The images are drawn by the seed, whatever their class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from dorl.commands.predict import read_images
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells
from dorl.segmentation.overlay import draw_overlay

SIDE, COLUMNS = 200, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    lab = read_images(given.lab)
    rows = np.sort(seeded(given.seed).permutation(len(lab))[: given.count])
    segmenter = Segmenter.load(given.segmenter)
    sheet = Image.new("RGB", (SIDE * COLUMNS, SIDE * -(-len(rows) // COLUMNS)))
    images = [lab.load(int(i)) for i in rows]
    for place, (image, cell) in enumerate(zip(images, find_central_cells(segmenter, images), strict=True)):
        picture = Image.fromarray(draw_overlay(image, cell.mask, cell.confidence)).resize((SIDE, SIDE))
        sheet.paste(picture, (place % COLUMNS * SIDE, place // COLUMNS * SIDE))
    sheet.save(given.out)
    for place, i in enumerate(rows):
        print(place, lab.table["path"].iat[i])


if __name__ == "__main__":
    main()
