"""A pool of cells to learn from: several views of each, embedded beforehand, on disk while the learning lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dorl.cells.crop import square_crop
from dorl.cells.store import CellStore
from dorl.cells.views import Views, alone, cell_pictures, token_channels, view_tokens
from dorl.errors import BadImageError
from dorl.runtime.inference import over_batches
from dorl.runtime.progress import say, track
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells

#: side of the picture that is drawn of a cell, in pixels
DRAWN = 128


@dataclass(frozen=True)
class Picture:
    """A picture of a cell that can be had when it is asked for.

    Parameters
    ----------
    key : str
        Its own; it decides how the cell is restained.
    lab : str
    load : callable
        Gives it, uint8 (H, W, 3), or the square around its cell and the mask, as `square_crop` does; or raises
        BadImageError.
    """

    key: str
    lab: str
    load: Callable[[], np.ndarray | tuple[np.ndarray, np.ndarray]]


class Pool:
    """Views of cells without labels.

    Parameters
    ----------
    store : CellStore
        Its ``tokens`` are those of all views of a cell, one behind the other; its ``crops`` the cell at references.
    views : Views
    """

    def __init__(self, store: CellStore, views: Views) -> None:
        self.store, self.views = store, views
        #: of the tokens of a view
        self.channels = store.header["width"] // views.total
        table = store.table
        self.labs = sorted(set(table["lab"]))
        #: number of each cell's lab in `labs`, int64 (N,)
        self.lab = np.searchsorted(self.labs, table["lab"].to_numpy(str)).astype(np.int64)

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens float16 (B, V, C, G, G) and the cell at references, uint8 (B, 128, 128, 3), of some cells."""
        tokens, drawn = self.store.batch(rows, "tokens", "crops")
        return tokens.reshape(len(rows), self.views.total, self.channels, *tokens.shape[2:]), drawn


def fill_pool(
    path: Path,
    segmenter: Segmenter,
    pictures: Sequence[Picture],
    views: Views,
    *,
    seed: int = 0,
    harder: bool = True,
    what: str,
) -> Pool:
    """Find, cut out, restain and embed the cells of pictures; what an interrupted call has done is kept.

    Pictures that can't be read, or in which no cell is found, are left out. `harder` is as for `cell_pictures`.
    """
    source = {"segmenter": segmenter.digest(), "views": [views.plain, views.restained], "seed": seed}
    width = views.total * token_channels(segmenter)
    store = CellStore.create(
        path, width=width, grid=segmenter.grid, mask_size=segmenter.image_size, crop_size=DRAWN, source=source
    )
    done = path / "looked-at"
    first = int(done.read_text(encoding="ascii")) if done.is_file() else 0
    todo = pictures[first:]

    def made(some: Sequence[Picture]) -> tuple[Any, ...]:
        return _embedded(segmenter, some, views, seed, harder)

    batches = over_batches(made, todo, device=segmenter.device)
    have = store.keys
    for some, (rows, tokens, masks, crops) in track(
        batches, total=len(pictures), what=what, done=first, size=lambda pair: len(pair[0])
    ):
        if rows and rows[0]["key"] not in have:  # what was appended just before an interruption
            store.append(tokens, masks, crops, rows)
        first += len(some)
        done.write_text(str(first), encoding="ascii")
    store.leave()
    return Pool(store, views)


def _embedded(
    segmenter: Segmenter, pictures: Sequence[Picture], views: Views, seed: int, harder: bool
) -> tuple[Any, ...]:
    """Rows, tokens, masks and crops of the cells of some pictures, as the store takes them."""
    rows, tokens, masks, crops = [], [], [], []
    for picture, crop, mask in _cut_out(segmenter, pictures):
        looks = cell_pictures(crop, mask, views, picture.key, seed=seed, harder=harder)
        tokens.append(view_tokens(segmenter, looks).half().cpu().numpy())
        masks.append(mask)
        crops.append(alone(looks, DRAWN)[0])
        rows.append({"key": picture.key, "lab": picture.lab})
    stacked = np.stack(tokens).reshape(len(rows), -1, *tokens[0].shape[2:]) if rows else np.empty(0)
    return rows, stacked, np.array(masks), np.array(crops)


def _cut_out(segmenter: Segmenter, pictures: Sequence[Picture]) -> list[tuple[Picture, np.ndarray, np.ndarray]]:
    """Pictures that hold a cell, in their order, the square around it, and its mask there."""
    cut: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    whole: dict[int, np.ndarray] = {}
    for number, picture in enumerate(pictures):
        try:
            loaded = picture.load()
        except BadImageError as error:
            say(f"left out: {picture.key}: {error}")
            continue
        if isinstance(loaded, tuple):
            cut[number] = loaded
        else:
            whole[number] = loaded
    cells = find_central_cells(segmenter, list(whole.values())) if whole else []
    for (number, image), cell in zip(whole.items(), cells, strict=True):
        if cell.found:
            cut[number] = square_crop(image, cell.mask, segmenter.image_size)
    return [(pictures[number], *cut[number]) for number in sorted(cut)]
