"""How well the autoencoder draws cells at common references: as they are, and from restained views.

    python tools/measure/drawing.py [LAB...] [--autoencoder tiny] [--most 300]

Each LAB is as `dorl fit` takes it; without one, rendered labs of the styles of `dorl demo` are drawn. The cell alone
on white, brought to common references, is what is to be drawn. Printed is the structural similarity (SSIM) of what is
drawn from the plain view, and from a view restained hard, with that same picture; as a yardstick, the SSIM of the mean
picture of the lab, and of the next cell. Seed 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from dorl.cells.crop import square_crop
from dorl.cells.pool import DRAWN
from dorl.cells.views import Views, alone, cell_pictures, view_tokens
from dorl.domains import read_domains
from dorl.domains.rendered import CELL_CLASSES, STYLES, render_cell
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.losses import ssim
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells

Load = Callable[[], np.ndarray]


def rendered(most: int) -> Iterator[tuple[str, list[Load]]]:
    """Cells of every class in each of the styles."""
    for name, style in STYLES.items():
        kinds = [CELL_CLASSES[number % len(CELL_CLASSES)] for number in range(most)]
        yield (
            name,
            [
                lambda kind=kind, style=style, number=number: (
                    render_cell(kind, style, seeded(0, number), size=224).image
                )
                for number, kind in enumerate(kinds)
            ],
        )


def drawn(segmenter: Segmenter, model: CrossDomainAutoencoder, load: Load, key: str) -> tuple[Tensor, ...] | None:
    """The picture to be drawn, what is drawn of the plain view, and of a restained one: (3, S, S), 0-1."""
    image = load()
    cell = find_central_cells(segmenter, [image])[0]
    if not cell.found:
        return None
    crop, mask = square_crop(image, cell.mask, segmenter.image_size)
    looks = cell_pictures(crop, mask, Views(1, 1), key, harder=True)
    with torch.inference_mode():
        made = model.draw(view_tokens(segmenter, looks)).cpu()
    wanted = torch.from_numpy(alone(looks, DRAWN)[:1])
    return tuple((torch.cat([wanted, made]).permute(0, 3, 1, 2).float() / 255).unbind())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labs", nargs="*")
    parser.add_argument("--autoencoder", default="tiny")
    parser.add_argument("--most", type=int, default=300, help="cells of a lab")
    given = parser.parse_args()
    segmenter, model = Segmenter.load("tiny"), CrossDomainAutoencoder.load(given.autoencoder)
    labs: Iterator[tuple[str, list[Load]]] = rendered(given.most)
    if given.labs:
        labs = (
            (lab.name, [lambda lab=lab, i=int(i): lab.load(i) for i in seeded(0).permutation(len(lab))[: given.most]])
            for lab in read_domains(given.labs)
        )
    print("| lab | cells | plain view | restained view | mean picture | next cell |\n|---|---:|---:|---:|---:|---:|")
    for name, loads in labs:
        found = [drawn(segmenter, model, load, str(number)) for number, load in enumerate(loads)]
        wanted, plain, restained = (torch.stack(some) for some in zip(*(one for one in found if one), strict=True))
        rows = [plain, restained, wanted.mean(0).expand_as(wanted), wanted.roll(1, 0)]
        alike = [float(ssim(wanted, some)) for some in rows]
        print(f"| {name} | {len(wanted)} | {' | '.join(f'{value:.3f}' for value in alike)} |", flush=True)


if __name__ == "__main__":
    main()
