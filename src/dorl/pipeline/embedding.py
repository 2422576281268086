"""From labs to stored cells: read, segment, embed, cut out, append; goes on where an interrupted run stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dorl.cells import CellStore
from dorl.domains import Domain
from dorl.errors import BadImageError
from dorl.progress import say, track
from dorl.segmentation import Segmenter, cell_crop
from dorl.segmentation.segmenter import prepare
from dorl.training import prefetch


@dataclass
class Embedded:
    """Stored cells, and the images that could not be used.

    Attributes
    ----------
    store : CellStore
    left_out : list of (str, str)
        Key and reason of each image that failed to load.
    """

    store: CellStore
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def without_cell(self) -> int:
        """How many images the segmenter found no cell in."""
        return int((~self.store.table["cell_found"].astype(bool)).sum()) if len(self.store) else 0


def embed(
    labs: Sequence[Domain], segmenter: Segmenter, path: Path, *, source: dict[str, Any], batch_size: int = 32
) -> Embedded:
    """Segment and embed every image of every lab into a store.

    Parameters
    ----------
    labs : sequence of Domain
    segmenter : Segmenter
    path : Path
        The store's folder. Cells that are in already are not made again.
    source : dict
        What the cells depend on; a store of another source is refused.
    batch_size : int

    Returns
    -------
    Embedded
    """
    store = CellStore.create(
        path, width=segmenter.width, grid=segmenter.grid, mask_size=segmenter.image_size, source=source
    )
    have = store.keys
    todo = [(lab, i) for lab in labs for i in range(len(lab)) if lab.key(i) not in have]
    result = Embedded(store)
    if have:
        say(f"{len(have)} cells are embedded already")
    total = len(have) + len(todo)
    images: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    loaded = prefetch(lambda job: _load(*job, segmenter.image_size), todo, ahead=2 * batch_size)
    for number, outcome in enumerate(track(loaded, total=total, what="embedding cells", done=len(have)), start=1):
        if isinstance(outcome, str):
            lab, i = todo[number - 1]
            result.left_out.append((lab.key(i), outcome))
            say(f"left out: {lab.key(i)}: {outcome}")
        else:
            images.append(outcome[0])
            rows.append(outcome[1])
        if images and (len(images) == batch_size or number == len(todo)):
            _append(store, segmenter, np.stack(images), rows)
            images, rows = [], []
    return result


def segment_small(segmenter: Segmenter, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens float16 (B, D, G, G), masks bool (B, S, S) and crops uint8 (B, 128, 128, 3) of prepared images.

    Tokens are rounded to half precision here, so that a cell from the store and the same cell on its own have the very
    same feature.
    """
    out = segmenter(images)
    masks = out.masks.cpu().numpy()
    crops = np.stack([cell_crop(image, mask) for image, mask in zip(images, masks, strict=True)])
    return out.tokens.half().cpu().numpy(), masks, crops


def prepared(images: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Stack uint8 images (H, W, 3) of any sizes as (B, size, size, 3)."""
    return np.stack([prepare(image, size) for image in images])


def _load(lab: Domain, i: int, size: int) -> tuple[np.ndarray, dict[str, Any]] | str:
    try:
        image = lab.load(i)
    except BadImageError as error:
        return lab.reason(i, error)
    row = lab.table.iloc[i]
    meta = {name: row[name] for name in ("path", "label", "patient", "split")}
    shape = {"height": image.shape[0], "width": image.shape[1]}
    return prepare(image, size), {"key": lab.key(i), "domain": lab.name, **meta, **shape}


def _append(store: CellStore, segmenter: Segmenter, images: np.ndarray, rows: list[dict[str, Any]]) -> None:
    tokens, masks, crops = segment_small(segmenter, images)
    found = np.asarray(masks.any(axis=(1, 2)))
    store.append(tokens, masks, crops, [{**row, "cell_found": bool(ok)} for row, ok in zip(rows, found, strict=True)])
