"""A whole slide, rendered and written as a pyramid: mostly glass, with patches of monolayer and of heaped red cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from dorl.domains.rendered.field import RenderedField, Scene, render_field
from dorl.domains.rendered.style import LabStyle
from dorl.errors import InputError
from dorl.files import atomic

#: side of a patch and of a tile in pixels; what a level is reduced by against the one before it
PATCH, TILE, STEP = 1024, 256, 4
#: what a patch may show, as `SlidePlan.layout` numbers it; `THICK` and those before it are no monolayer
GLASS, THICK, MONOLAYER = 0, 1, 2
#: µm across a red cell
RED_CELL = 7.2
#: JPEG quality of the tiles
QUALITY = 90


@dataclass(frozen=True)
class SlidePlan:
    """What a slide shows.

    Parameters
    ----------
    layout : int array of shape (R, C)
        `GLASS`, `THICK`, or `MONOLAYER` and above: each number from there on is another patch of a monolayer.
    size : (int, int)
        Width and height in pixels; what the layout has beyond it is cut off.
    pixel_size : float or None
        µm a pixel; None leaves it out of the file, which is drawn with 0.25 then.
    white_cells : int
        In each patch of a monolayer; none is cut by the patch's border.
    style : LabStyle
    levels : int
        Of the pyramid; each is a fourth as wide as the one before it.
    """

    layout: np.ndarray
    size: tuple[int, int]
    pixel_size: float | None = 0.25
    white_cells: int = 6
    style: LabStyle = LabStyle(gradient=0.0, vignette=0.0)  # noqa: RUF009 - it is frozen
    levels: int = 3


def write_slide(path: str | Path, plan: SlidePlan, *, kind: str = "svs", seed: int = 0) -> np.ndarray:
    """Render a slide and write it in tiles, in constant memory; each patch is rendered and encoded once.

    Parameters
    ----------
    path : str or Path
    plan : SlidePlan
    kind : str
        ``"svs"``, as Aperio's scanners lay it out, or ``"ome"`` for an OME-TIFF.
    seed : int
        The same seed gives the same slide.

    Returns
    -------
    int array of shape (N, 4)
        xmin, ymin, xmax, ymax of each white cell in pixels of the slide; the last two exclusive.

    Raises
    ------
    InputError
        If the kind is unknown, or the layout doesn't cover the slide.
    """
    if kind not in ("svs", "ome"):
        raise InputError(f"kind {kind!r}: give svs or ome")
    rows, columns = plan.layout.shape
    if columns * PATCH < plan.size[0] or rows * PATCH < plan.size[1]:
        raise InputError(f"a layout of {columns}x{rows} patches covers no {plan.size[0]}x{plan.size[1]} pixels")
    patches = {number: _patch(plan, number, seed) for number in np.unique(plan.layout).tolist()}
    images = [{number: patch.image for number, patch in patches.items()}]
    for _ in range(1, plan.levels):
        images.append({number: np.asarray(Image.fromarray(image).reduce(STEP)) for number, image in images[-1].items()})
    with atomic(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=kind == "ome", ome=kind == "ome") as tiff:
        for level, of_level in enumerate(images):
            width, height = (-(-side // STEP**level) for side in plan.size)
            tiff.write(
                _encoded(plan.layout, of_level, (width, height)),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=(1, 1),
                **_notes(plan, kind, level),
            )
            if kind == "svs" and not level:  # Aperio's second page is a thumbnail
                whole = np.concatenate(
                    [np.concatenate([images[-1][one][::2, ::2] for one in row], 1) for row in plan.layout.tolist()]
                )
                tiff.write(whole, photometric="rgb", description="Aperio Image Library v12.0.0", metadata=None)
    return _boxes(plan, patches)


def _notes(plan: SlidePlan, kind: str, level: int) -> dict[str, object]:
    """What is written beside the pixels of a level."""
    size = plan.pixel_size
    if kind == "svs":
        told = "" if size is None else f"|AppMag = {round(10 / size)}|MPP = {size}"
        text = f"Aperio Image Library v12.0.0\r\n{plan.size[0]}x{plan.size[1]} [0,0] JPEG/RGB Q={QUALITY}{told}"
        return {"description": text, "metadata": None, "subfiletype": 0}
    if level:
        return {"subfiletype": 1, "metadata": None}
    told_by_ome = {} if size is None else {"PhysicalSizeX": size, "PhysicalSizeY": size}
    return {"subifds": plan.levels - 1, "metadata": {"axes": "YXS", **told_by_ome}}


def _patch(plan: SlidePlan, number: int, seed: int) -> RenderedField:
    """One patch; of a monolayer the first of a row of seeds whose border cuts no white cell."""
    red_cell = RED_CELL / (plan.pixel_size or 0.25)
    style = {
        GLASS: replace(plan.style, density=0.0, debris=0.0),
        THICK: replace(plan.style, density=3.0, debris=0.2),
    }.get(number, plan.style)
    scene = Scene(
        size=(PATCH, PATCH),
        red_cell=red_cell,
        white_cells=plan.white_cells if number >= MONOLAYER else 0,
        style=style,
        rouleaux=0.9 if number == THICK else 0.0,
    )
    for again in range(1000):
        patch = render_field(scene, np.random.default_rng([seed, number, again]))
        if not len(patch.boxes) or (patch.boxes.min() > 0 and patch.boxes[:, 2:].max() < PATCH):
            return patch
    raise InputError(f"{plan.white_cells} white cells find no place in a patch: give fewer")


def _encoded(layout: np.ndarray, images: dict[int, np.ndarray], size: tuple[int, int]) -> Iterator[bytes]:
    """The tiles of a level as JPEG, row by row; those that look alike are encoded once."""
    side = len(next(iter(images.values())))
    made: dict[tuple[object, ...], bytes] = {}
    for top in range(0, size[1], TILE):
        for left in range(0, size[0], TILE):
            within = layout[top // side : -(-(top + TILE) // side), left // side : -(-(left + TILE) // side)]
            key = (within.shape, *within.ravel().tolist(), top % side, left % side)
            if key not in made:
                tile = np.full((TILE, TILE, 3), 255, np.uint8)
                joined = np.concatenate([np.concatenate([images[one] for one in row], 1) for row in within.tolist()])
                part = joined[top % side :, left % side :][:TILE, :TILE]
                tile[: part.shape[0], : part.shape[1]] = part
                made[key] = bytes(
                    imagecodecs.jpeg8_encode(
                        tile, level=QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="444"
                    )
                )
            yield made[key]


def _boxes(plan: SlidePlan, patches: dict[int, RenderedField]) -> np.ndarray:
    """Boxes of the white cells whose centre lies on the slide, in its pixels."""
    found = [np.empty((0, 4), int)]
    for row, column in np.argwhere(plan.layout >= MONOLAYER):
        found.append(patches[int(plan.layout[row, column])].boxes + PATCH * np.array([column, row, column, row]))
    boxes = np.concatenate(found)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return boxes[(middle < plan.size).all(axis=1)]
