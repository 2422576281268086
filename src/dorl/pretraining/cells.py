"""The bundled autoencoder of cells: its pool of pictures, without any class label, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.cells.pool import Picture, fill_pool
from dorl.cells.views import Views
from dorl.domains.boxes import Field
from dorl.domains.rendered import CELL_CLASSES, random_style, render_cell
from dorl.files import atomic, write_json
from dorl.pretraining.bank import SIDE, from_field
from dorl.pretraining.heldout import Chosen
from dorl.representation.alignment import CELLS
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.features import shape_for
from dorl.representation.learning import align_pool, learn
from dorl.representation.pooled import LearningSettings
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter

#: views of a cell that are embedded beforehand
VIEWS = Views(plain=2, restained=6)


def pictures_of(chosen: Chosen, *, rendered: int, seed: int) -> list[Picture]:
    """Every picture of a cell: single-cell images, crops around white cells' boxes, rendered cells.

    Parameters
    ----------
    chosen : Chosen
        Images and fields, without those left out and their copies.
    rendered : int
        How many rendered cells, each in a style of its own.
    seed : int
    """
    found = [Picture(lab.key(i), lab.name, partial(lab.load, i)) for lab, i in chosen.cells]
    for name, field in chosen.fields:
        for number in range(len(field.of("WBC"))):
            key = f"{name}/{field.path.name}#{number}"
            found.append(Picture(key, name, partial(_around_box, name, field, number)))
    for number in range(rendered):
        found.append(Picture(f"rendered/{number}", "rendered", partial(_rendered, number, seed)))
    return found


def _around_box(name: str, field: Field, number: int) -> np.ndarray:
    crops = {row["key"]: image for image, _, row in from_field(name, field, seeded(0)) if row["box"]}
    return crops.get(f"{name}/{field.path.name}#{number}", np.full((8, 8, 3), 255, np.uint8))


def _rendered(number: int, seed: int) -> np.ndarray:
    rng = seeded(seed, 11, number)
    kind = list(CELL_CLASSES)[rng.integers(len(CELL_CLASSES))]
    return render_cell(kind, random_style(rng), rng, size=SIDE).image


def learn_shared(
    model: CrossDomainAutoencoder,
    chosen: Chosen,
    segmenter: Segmenter,
    out: Path,
    *,
    seed: int,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Let an autoencoder of cells learn what labs share, and write ``tiny-autoencoder.safetensors``.

    It sees the single-cell images of each lab, up to `CELLS` of them, restained as for classifiers. Cells from fields
    and rendered ones are not looked at. A second start goes on where the first was interrupted.
    """
    rows = [(lab.name, lab, i) for lab, i in chosen.cells]
    pictures = []
    for number, name in enumerate(dict.fromkeys(name for name, _, _ in rows)):
        own = [(lab, i) for own, lab, i in rows if own == name]
        drawn = np.sort(seeded(seed, 12, number).permutation(len(own))[:CELLS])
        pictures += [Picture(lab.key(i), name, partial(lab.load, i)) for lab, i in (own[row] for row in drawn)]
    what = "embedding views of cells whose labs are to be aligned"
    pool = fill_pool(out / "labs", segmenter, pictures, Views(), seed=seed, harder=False, what=what)
    model.forget_labs()
    align_pool(model, pool, seed=seed)
    place = out / "tiny-autoencoder.safetensors"
    shared = pd.Series(pool.labs)[pool.lab].value_counts().to_dict()
    model.save(place, half=True, **{**(notes or {}), "shared": shared})
    return place


def train_on_cells(
    pictures: Sequence[Picture],
    segmenter: Segmenter,
    settings: LearningSettings,
    out: Path,
    *,
    seed: int,
    device: str | None = None,
    card: dict[str, Any] | None = None,
) -> Path:
    """Fill the pool, train, and write ``autoencoder-blocks.safetensors``, ``autoencoder-curve.csv``, ``…-card.json``.

    A second start goes on where the first was interrupted.
    """
    pool = fill_pool(out / "pool", segmenter, pictures, VIEWS, seed=seed, what="embedding views of cells")
    config = shape_for(segmenter)
    counts = pd.Series(pool.labs)[pool.lab].value_counts().to_dict()
    about = {"segmenter": segmenter.digest(), "pictures": counts, "settings": asdict(settings), "views": asdict(VIEWS)}
    about |= {"seed": seed, **(card or {})}
    place = out / "autoencoder-blocks.safetensors"
    _, history = learn(
        pool, out=place, config=config, settings=settings, seed=seed, device=device, notes=about, half=True
    )
    with atomic(out / "autoencoder-curve.csv") as temporary:
        history.to_csv(temporary, index=False)
    write_json(out / "autoencoder-card.json", about)
    return place
