"""What `dorl count` shows of a slide: a heat map, and the fields that it suggests, with outlines and classes."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains.slides import Slide, open_slide
from dorl.domains.urls import file_at
from dorl.errors import BadImageError
from dorl.files import png
from dorl.run.countfolder import FieldStore
from dorl.run.slides import FoundSlide
from dorl.runtime.kept import content_key
from dorl.runtime.progress import say
from dorl.runtime.results import result_names
from dorl.segmentation.bestfields import BestField, best_fields
from dorl.segmentation.heatmap import draw_heat_map
from dorl.segmentation.overlay import draw_cells

#: folders of the heat maps and of the fields, and columns of ``suggested.csv``
MAPS, SUGGESTED = "maps", "suggested"
COLUMNS = ("path", "rank", "xmin", "ymin", "xmax", "ymax", "monolayer", "cells", "picture")


def show_slides(slides: Sequence[FoundSlide], cells: pd.DataFrame, store: FieldStore) -> tuple[pd.DataFrame, list[str]]:
    """Draw each slide's heat map and its best fields.

    Parameters
    ----------
    slides : sequence of FoundSlide
    cells : DataFrame
        As ``cells.csv``.
    store : FieldStore

    Returns
    -------
    suggested : DataFrame
        As ``suggested.csv``: columns `COLUMNS`, a line a field, in pixels of level 0.
    written : list of str
        Names of the pictures below the count's folder.
    """
    names = result_names([file_at(slide.field.path).resolve().as_posix().lstrip("/") for slide in slides])
    rows: list[tuple[object, ...]] = []
    written: list[str] = []
    for slide, name in zip(slides, names, strict=True):
        per_block = slide.map.per_block(slide.middles)
        fields = best_fields(slide.map.monolayer, per_block, slide.map.block, slide.field.size)
        _write(store, f"{MAPS}/{name}", _heat_map(slide, per_block, fields))
        written.append(f"{MAPS}/{name}")
        own = cells[cells["path"] == slide.field.path]
        texts = [
            f"{kind} {chance:.2f}" if kind else ""
            for kind, chance in zip(own["class"], own["probability"], strict=True)
        ]
        with open_slide(file_at(slide.field.path)) as opened:
            for rank, field in enumerate(fields, start=1):
                place = f"{SUGGESTED}/{Path(name).stem}/{rank:02d}.png"
                try:
                    _write(store, place, _drawn(opened, slide, field, texts))
                    written.append(place)
                except BadImageError as error:
                    say(f"field {rank} of {slide.field.path} isn't drawn: {error.without(opened.path)}")
                    place = ""
                rows.append((slide.field.path, rank, *field.box, field.monolayer, field.cells, place))
    return pd.DataFrame(rows, columns=list(COLUMNS)), written


def _heat_map(slide: FoundSlide, per_block: np.ndarray, fields: Sequence[BestField]) -> np.ndarray:
    block, scale, shape = slide.map.block, slide.overview.scale, slide.map.covered.shape
    side = None if slide.pixel_size is None else block * slide.pixel_size / 1000
    return draw_heat_map(
        slide.overview.image,
        slide.map.monolayer,
        per_block,
        (shape[1] * block * scale, shape[0] * block * scale),
        fields,
        scale=scale,
        unit="square of 6 red cells" if side is None else "square mm",
        area=1.0 if side is None else side**2,
    )


def _drawn(opened: Slide, slide: FoundSlide, field: BestField, texts: Sequence[str]) -> np.ndarray:
    """A field of a slide, with the outlines and classes of its cells."""
    left, top, right, bottom = field.box
    image = opened.read(0, left, top, right - left, bottom - top)
    labels, shown = np.zeros(image.shape[:2], np.int32), []
    for box, mask, text in zip(slide.field.boxes, slide.masks, texts, strict=True):
        window = [max(box[0], left), max(box[1], top), min(box[2], right), min(box[3], bottom)]
        if window[0] < window[2] and window[1] < window[3]:
            shown.append(text)
            part = mask[window[1] - box[1] : window[3] - box[1], window[0] - box[0] : window[2] - box[0]]
            labels[window[1] - top : window[3] - top, window[0] - left : window[2] - left][part] = len(shown)
    return draw_cells(image, labels, shown)


def _write(store: FieldStore, name: str, picture: np.ndarray) -> None:
    data = png(picture)
    key = content_key("slide's picture", sha256(data).hexdigest())
    if not store.results.has(name, key):
        store.results.write(name, key, data)
