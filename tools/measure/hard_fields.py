r"""How `dorl count` finds white cells in rendered fields that are hard: light, focus, magnification, marks.

    python tools/measure/hard_fields.py [--each 6] [--segmenter tiny] [--kinds rim pale] [--sheet sheet.png]

Renders fields of each kind (`SCENES`), whose white cells are known, and prints a JSON line a kind and one of all:
recall and precision (boxes match at an IoU of one half, one to one), the error of the ruler (largest factor), what the
errors are, processor seconds a field, and their second-worst percentile over their median. The line of all also has
what a field takes by itself, by its megapixels and by its white cells (least squares without negative parts), and the
second-worst percentile of a field's time over what these three expect of it. Causes of a cell missed:
"no candidate" (no place with a dye's colour lies in it), "outline" (something lies there, and its box doesn't match),
"refused" (a place was looked at and nothing found). Of a find that is none: what lies there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from fields import LEAST_IOU, overlaps, write_sheet
from PIL import Image, ImageDraw
from scipy.optimize import linear_sum_assignment, nnls

from dorl.domains.rendered.field import THINGS, RenderedField, Scene, render_field
from dorl.domains.rendered.style import STYLES, LabStyle
from dorl.segmentation import Segmenter
from dorl.segmentation.fieldcells import FieldCell, label_picture
from dorl.segmentation.fields import find_cells
from dorl.segmentation.overlay import draw_cells
from dorl.segmentation.ruler import measure
from dorl.segmentation.smear import cleared, find_dye

SHEET, COLUMNS = 420, 4
LARGE, SMALL, MEDIUM = (1440, 900), (256, 256), (640, 480)
#: the colour of a lamp that is pink at the rim of the field and grey in its middle
GREY, PINK = (196.0, 196.0, 192.0), (226.0, 168.0, 186.0)


def style(rng: np.random.Generator, **changes: float) -> LabStyle:
    """One of the rendered labs' looks, varied."""
    chosen = STYLES[str(rng.choice(["harbour", "summit", "forest", "dune", "slate"]))]
    return replace(chosen.varied(rng), jpeg=int(rng.integers(70, 96)), sharpen=0.0, noise=2.5, **changes)


def pale(rng: np.random.Generator, **changes: object) -> LabStyle:
    """Pale red cells under a grey lamp, taken by a cheap camera."""
    own = style(rng)
    share = rng.uniform(0.2, 0.45)
    red = tuple(share * amount for amount in own.haemoglobin)
    own = replace(own, haemoglobin=red, background=GREY, pallor=0.4, noise=float(rng.uniform(3, 8)), jpeg=60)
    return replace(own, **changes)


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "even": lambda r: Scene(MEDIUM, r.uniform(55, 90), int(r.integers(1, 4)), style(r)),
    "rim": lambda r: Scene(
        LARGE, r.uniform(32, 61), 1, pale(r, vignette=float(r.uniform(0.1, 0.6)), gradient=0.2), PINK
    ),
    "vignette": lambda r: Scene(
        MEDIUM, r.uniform(35, 70), int(r.integers(1, 4)), style(r, vignette=0.9, gradient=float(r.uniform(0, 0.4)))
    ),
    "pale": lambda r: Scene(
        LARGE, r.uniform(32, 61), 1, pale(r, contrast=float(r.uniform(0.4, 0.6)), strength=0.7), PINK
    ),
    "focus": lambda r: Scene(
        MEDIUM, r.uniform(40, 80), int(r.integers(1, 4)), style(r), blur=r.uniform(0.03, 0.09), tilt=r.uniform(0, 0.06)
    ),
    "small": lambda r: Scene(SMALL, r.uniform(28, 50), int(r.integers(1, 3)), style(r)),
    "low power": lambda r: Scene(MEDIUM, r.uniform(15, 24), int(r.integers(3, 12)), style(r)),
    "rouleaux": lambda r: Scene(
        MEDIUM, r.uniform(35, 70), int(r.integers(1, 4)), style(r, density=0.6), rouleaux=float(r.uniform(0.5, 1))
    ),
    "deposits": lambda r: Scene(MEDIUM, r.uniform(35, 70), int(r.integers(1, 4)), style(r, debris=2.0), deposits=60),
    "marks": lambda r: Scene(
        MEDIUM,
        r.uniform(40, 80),
        int(r.integers(1, 3)),
        style(r),
        marks=tuple(r.choice(["scale bar", "lettering", "frame", "round stop", "pointer"], 2, replace=False)),
    ),
    "crowded": lambda r: Scene(LARGE, r.uniform(36, 60), int(r.integers(15, 31)), style(r)),
    "none": lambda r: Scene(LARGE, r.uniform(32, 61), 0, pale(r, debris=1.0), PINK, deposits=20),
}


def judged(truth: RenderedField, cells: list[FieldCell]) -> tuple[int, Counter[str]]:
    """How many cells are found, and each cause of error."""
    found = np.array([cell.box for cell in cells], float).reshape(-1, 4)
    shared = overlaps(found, truth.boxes.astype(float))
    rows, columns = linear_sum_assignment(-shared)
    good = shared[rows, columns] >= LEAST_IOU
    hit, used = set(columns[good].tolist()), set(rows[good].tolist())
    causes: Counter[str] = Counter()
    labels = label_picture(cells, truth.image.shape[1::-1])
    for number in set(range(len(truth.boxes))) - hit:
        mask = truth.labels == number + 1
        if (labels[mask] > 0).mean() > 0.3:
            causes["missed: outline"] += 1
        else:
            places = find_dye(cleared(truth.image), truth.red_cell).places
            near = [mask[min(round(p.row), mask.shape[0] - 1), min(round(p.column), mask.shape[1] - 1)] for p in places]
            causes["missed: refused" if any(near) else "missed: no candidate"] += 1
    for number in set(range(len(cells))) - used:
        mask = labels == number + 1
        kind = THINGS[int(np.bincount(truth.things[mask], minlength=1).argmax())]
        causes[f"false: {'white cell' if (truth.labels[mask] > 0).mean() > 0.3 else kind}"] += 1
    return len(hit), causes


def drawn(truth: RenderedField, cells: list[FieldCell], name: str) -> Image.Image:
    """One picture of the sheet: outlines of what was found, boxes of the truth."""
    labels = label_picture(cells, truth.image.shape[1::-1])
    picture = Image.fromarray(draw_cells(truth.image, labels, [f"{cell.confidence:.2f}" for cell in cells]))
    pen = ImageDraw.Draw(picture)
    for box in truth.boxes:
        pen.rectangle(tuple(int(side) for side in box), outline=(213, 94, 0), width=3)
    pen.text((8, 8), name, fill=(0, 0, 0))
    return picture.resize((SHEET, round(SHEET * picture.height / picture.width)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=6, help="fields of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(SCENES), default=list(SCENES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--sheet", type=Path, help="picture of the fields with errors")
    given = parser.parse_args()
    torch.set_num_threads(1)
    segmenter = Segmenter.load(given.segmenter)
    find_cells(segmenter, render_field(Scene(SMALL, 40.0, 1), np.random.default_rng(0)).image)
    total, seconds, sizes, wrong = Counter[str](), [], [], []
    for kind in given.kinds:
        own, spent, rulers = Counter[str](), [], []
        for number in range(given.each):
            rng = np.random.default_rng([given.seed, list(SCENES).index(kind), number])
            truth = render_field(SCENES[kind](rng), rng)
            began = time.process_time()
            cells = find_cells(segmenter, truth.image)
            spent.append(time.process_time() - began)
            sizes.append((1.0, truth.image.shape[0] * truth.image.shape[1] / 1e6, len(truth.boxes)))
            measured = measure(cleared(truth.image)).diameter
            rulers.append(measured / truth.red_cell if measured else np.nan)
            hits, causes = judged(truth, cells)
            own.update({"cells": len(truth.boxes), "found": len(cells), "hits": hits, **causes})
            if causes:
                wrong.append(drawn(truth, cells, f"{kind} {number}"))
        told(kind, given.each, own, spent, rulers)
        total.update(own)
        seconds += spent
    told("all", given.each * len(given.kinds), total, seconds, [])
    cost, _ = nnls(np.array(sizes), np.array(seconds))
    beyond = np.array(seconds) / np.maximum(np.array(sizes) @ cost, 1e-9)
    expected = {"seconds_a_field": cost[0], "a_megapixel": cost[1], "a_white_cell": cost[2]}
    expected["98th_percentile_over_expected"] = float(np.percentile(beyond, 98))
    print(json.dumps({name: round(value, 3) for name, value in expected.items()}))
    if given.sheet and wrong:
        write_sheet(wrong, given.sheet, COLUMNS)


def told(kind: str, fields: int, own: Counter[str], spent: list[float], rulers: list[float]) -> None:
    """Print one line."""
    line = {
        "kind": kind,
        "fields": fields,
        "cells": own["cells"],
        "recall": round(own["hits"] / max(1, own["cells"]), 3),
        "precision": round(own["hits"] / max(1, own["found"]), 3),
        "ruler": [round(value, 2) for value in rulers],
        "errors": {name: count for name, count in sorted(own.items()) if ": " in name},
        "processor_seconds": round(float(np.median(spent)), 3),
        "slowest": round(max(spent), 3),
        "98th_percentile_over_median": round(float(np.percentile(spent, 98) / np.median(spent)), 2),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
