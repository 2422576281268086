"""From labs to stored cells: read, segment, embed, cut out, append; goes on where an interrupted run stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dorl.cells import CellStore
from dorl.cells.current import CONTENT, drop_changed
from dorl.cells.shards import Shards, join_stores
from dorl.cells.size import log_diameter
from dorl.cells.views import Views, alone
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.representation.features import SeenCells, see_cells
from dorl.runtime.inference import batch_size, over_batches
from dorl.runtime.processes import count, gathered, in_turn, rank, several, wait
from dorl.runtime.progress import say, track
from dorl.runtime.shards import Shard, in_batches
from dorl.segmentation import Segmenter, cell_crop
from dorl.segmentation.cell import FoundCell, find_central_cells
from dorl.segmentation.pixels import prepare
from dorl.segmentation.segmenter import SegmenterOutput
from dorl.words import counted

#: side of the stored picture of a cell at common references, in pixels
KEPT = 76


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
    labs: Sequence[Domain],
    segmenter: Segmenter,
    path: Path,
    *,
    source: dict[str, Any],
    autoencoder: CrossDomainAutoencoder | None = None,
    views: Views | None = None,
    learnt: Collection[str] = (),
    seed: int = 0,
    shard: Shard | None = None,
) -> Embedded:
    """Segment and embed every image of every lab, or of a shard's, into a store.

    With an autoencoder of cells, the store holds what each cell's feature s is made of, view by view, and its picture
    at common references. Without one, it holds what the published road takes: tokens of the whole image, and the cell
    on grey.

    Several processes take turns with the batches, each with a shard of its own; the main one joins them.

    Parameters
    ----------
    labs : sequence of Domain
    segmenter : Segmenter
    path : Path
        The store's folder. Cells that are in already are not made again, unless their image has changed.
    source : dict
        What the cells depend on; a store of another source is refused.
    autoencoder : CrossDomainAutoencoder, optional
    views : Views, optional
        How many views of a cell there are; with an autoencoder.
    learnt : collection of str
        Names of the labs whose labels are learnt. Only their labelled cells are restained; other cells' restained views
        are NaN.
    seed : int
        Of the restaining.
    shard : Shard, optional
        Take every n-th batch alone; `path` is the shard's own (`join_embedded`).

    Returns
    -------
    Embedded
    """
    shapes = _shapes(segmenter, autoencoder, views)

    def make(place: Path) -> CellStore:
        return CellStore.create(place, mask_size=segmenter.image_size, source=source, **shapes)

    store = in_turn(lambda: _current(make, path, labs), lambda: CellStore.open(path))
    shards = Shards(path)
    have = store.keys | shards.keys
    items = [(lab, i) for lab in labs for i in range(len(lab))]
    batches = in_batches(items, batch_size(segmenter.device))
    batches = batches if shard is None else list(shard.takes(batches))
    # batches are those of one process that is never interrupted, as far as they aren't done
    left = [[(lab, i) for lab, i in batch if lab.key(i) not in have] for batch in batches]
    todo = [batch for batch in left if batch]
    if have:
        say(f"{counted(len(have), 'cell is', 'cells are')} embedded already")
    wait()
    apart = several() or bool(shards.keys)
    own = make(shards.own) if apart else store
    part, done = (todo[rank() :: count()], 0) if several() else (todo, len(have))

    def look(some: Sequence[Sequence[tuple[Domain, int]]]) -> tuple[Cells | None, list[tuple[str, str]]]:
        (batch,) = some
        return _made(segmenter, autoencoder, batch, views, learnt, seed)

    what = "embedding cells" + (f" (process 1 of {count()})" if several() else "")
    left_out = []
    made = over_batches(look, part, device=segmenter.device, size=1)
    total = done + sum(map(len, part))
    for _, (cells, unread) in track(made, total=total, what=what, done=done, size=lambda pair: len(pair[0][0])):
        for key, reason in unread:
            left_out.append((key, reason))
            say(f"left out: {key}: {reason}")
        if cells is not None:
            own.append(*cells)
    if apart:
        own.leave()
        left_out = [pair for pairs in gathered(left_out) for pair in pairs]
        order = [lab.key(i) for lab in labs for i in range(len(lab))]
        store = in_turn(lambda: Shards(path).join(store, order), lambda: CellStore.open(path))
    return Embedded(store, left_out)


def join_embedded(labs: Sequence[Domain], path: Path, places: Sequence[Path]) -> CellStore:
    """Put the stores that `embed` made of all shards together into the one that a single process would have written.

    It may be interrupted, and called again. The shards stay.

    Parameters
    ----------
    labs : sequence of Domain
        The same as for the shards.
    path : Path
        Of the store.
    places : sequence of Path
        Of the shards' stores.

    Raises
    ------
    InputError
        If an image has changed since its cell was embedded.
    """
    shards = [CellStore.open(place) for place in places]
    order = {lab.key(i): (lab, i) for lab in labs for i in range(len(lab))}
    for shard in shards:
        for row in shard.table.to_dict("records"):
            lab, i = order[row["key"]]
            if lab.source.digest(lab.table["path"].iat[i]) != row[CONTENT]:
                raise InputError(
                    f"{row['key']} has changed since it was embedded in {shard.path}; do that shard again, then join"
                )
    return join_stores(CellStore.like(path, shards[0]), shards, list(order))


def _shapes(segmenter: Segmenter, autoencoder: CrossDomainAutoencoder | None, views: Views | None) -> dict[str, Any]:
    """What a store of such cells holds."""
    if autoencoder is None:
        return {"width": segmenter.width, "grid": segmenter.grid}
    return {"crop_size": KEPT, "views": ((views or Views()).total, described_width(autoencoder))}


def described_width(autoencoder: CrossDomainAutoencoder) -> int:
    """Numbers of a view that are stored."""
    return autoencoder.config.described_width or autoencoder.config.feature_width


def _current(make: Callable[[Path], CellStore], path: Path, labs: Sequence[Domain]) -> CellStore:
    """The store, and what an interrupted run of several processes left below it, without cells of changed images."""
    place = {lab.key(i): (lab, i) for lab in labs for i in range(len(lab))}

    def content_of(key: str) -> str | None:
        if key not in place:
            return None
        lab, i = place[key]
        return lab.source.digest(lab.table["path"].iat[i])

    changed = 0
    for shard in sorted(path.glob("shard-*/cells.json")):
        part, gone = drop_changed(make(shard.parent), content_of)
        part.leave()
        changed += gone
    store, gone = drop_changed(make(path), content_of)
    if changed + gone:
        many = counted(changed + gone, "image has", "images have")
        say(f"{many} changed since their cells were embedded: these are made anew")
    return store


#: tokens, masks, crops, rows and views of the cells of a batch, as the store takes them
Cells = tuple[np.ndarray | None, np.ndarray, np.ndarray, list[dict[str, Any]], np.ndarray | None]


def _made(
    segmenter: Segmenter,
    autoencoder: CrossDomainAutoencoder | None,
    batch: Sequence[tuple[Domain, int]],
    views: Views | None,
    learnt: Collection[str],
    seed: int,
) -> tuple[Cells | None, list[tuple[str, str]]]:
    """Cells of a batch of images, and key and reason of those that can't be read."""
    images, rows, left_out = [], [], []
    for lab, i in batch:
        image = lab.read(i)
        if isinstance(image, str):
            left_out.append((lab.key(i), image))
            continue
        entry = lab.table.iloc[i]
        meta = {name: entry[name] for name in ("path", "label", "patient", "split")}
        shape = {"height": image.shape[0], "width": image.shape[1]}
        images.append(image)
        content: dict[str, Any] = {CONTENT: lab.source.digest(entry["path"])}
        rows.append({"key": lab.key(i), "domain": lab.name, **meta, **shape, **content})
    if not images:
        return None, left_out
    small = prepared(images, segmenter.image_size)
    out = segmenter(small)
    if autoencoder is None:
        tokens, masks, crops = stored_form(out, small)
        return (tokens, masks, crops, _with_found(rows, masks.any(axis=(1, 2)).tolist()), None), left_out
    views = views or Views()
    counts = [views if row["domain"] in learnt and row["label"] else replace(views, restained=0) for row in rows]
    keys = [row["key"] for row in rows]
    seen, found = look_at(segmenter, autoencoder, images, out, counts, keys, seed=seed)
    for meta, cell in zip(rows, found, strict=True):
        meta["size"] = log_diameter(cell.mask) if cell.found else None
    described = np.full((len(rows), views.total, described_width(autoencoder)), np.nan, np.float16)
    for row, part in zip(described, seen.descriptions, strict=True):
        row[: len(part)] = part
    return (
        None,
        seen.first.cells,
        alone(seen.first, KEPT),
        _with_found(rows, [cell.found for cell in found]),
        described,
    ), left_out


def _with_found(rows: Sequence[dict[str, Any]], found: Any) -> list[dict[str, Any]]:
    return [{**row, "cell_found": bool(ok)} for row, ok in zip(rows, found, strict=True)]


def look_at(
    segmenter: Segmenter,
    autoencoder: CrossDomainAutoencoder,
    images: Sequence[np.ndarray],
    out: SegmenterOutput,
    counts: Sequence[Views],
    keys: Sequence[str],
    *,
    seed: int = 0,
) -> tuple[SeenCells, list[FoundCell]]:
    """Look at the cell nearest the centre of each image; and what was found there.

    Parameters
    ----------
    out : SegmenterOutput
        What the segmenter says of the images.
    segmenter, autoencoder, images, counts, keys, seed
        As for `dorl.representation.features.see_cells`.
    """
    cells = find_central_cells(segmenter, images, logits=out.mask_logits)
    seen = see_cells(segmenter, autoencoder, images, [cell.mask for cell in cells], counts, keys, seed=seed)
    return seen, cells


def segment_small(segmenter: Segmenter, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`stored_form` of what the segmenter says of prepared images."""
    return stored_form(segmenter(images), images)


def stored_form(out: SegmenterOutput, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens float16 (B, D, G, G), masks bool (B, S, S) and crops uint8 (B, 128, 128, 3) of prepared images.

    Tokens are rounded to half precision here, so that a cell from the store and the same cell on its own have the very
    same feature.
    """
    masks = out.masks.cpu().numpy()
    crops = np.stack([cell_crop(image, mask) for image, mask in zip(images, masks, strict=True)])
    return out.tokens.half().cpu().numpy(), masks, crops


def prepared(images: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Stack uint8 images (H, W, 3) of any sizes as (B, size, size, 3)."""
    return np.stack([prepare(image, size) for image in images])
