"""A whole rendered laboratory on disk, in the layout that labs with a manifest use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dorl.domains.rendered.anatomy import CELL_CLASSES
from dorl.domains.rendered.render import render_cell
from dorl.domains.rendered.style import STYLES, LabStyle
from dorl.errors import InputError
from dorl.files import write_text

CELLS_PER_PATIENT = 10
#: of the PNG files, 1-9: a third of the time is saved for files that are a seventh larger
COMPRESSION = 1


def render_lab(
    out: Path,
    *,
    style: str | LabStyle,
    cells: int = 100,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    size: int = 224,
) -> Path:
    """Render a laboratory: images, masks and a manifest.

    Parameters
    ----------
    out : Path
        Folder to write ``images/``, ``masks/`` (0/255) and ``manifest.csv`` into; made where missing.
    style : str or LabStyle
        A name in `STYLES`, or a style of one's own.
    cells : int
        How many pictures; the classes share them as evenly as the number allows.
    classes : sequence of str, optional
        Which classes; all thirteen by default.
    seed : int
        The same seed gives the same files.
    size : int
        Side of each picture in pixels.

    Returns
    -------
    Path
        The manifest: columns image, mask, label, patient; paths relative to `out`.

    Raises
    ------
    InputError
        If the style or a class is unknown, or `cells` is less than 1.
    """
    if isinstance(style, str):
        if style not in STYLES:
            raise InputError(f"unknown style {style!r}; the styles are {', '.join(STYLES)}")
        style = STYLES[style]
    chosen = list(CELL_CLASSES if classes is None else classes)
    unknown = [name for name in chosen if name not in CELL_CLASSES]
    if unknown or not chosen:
        what = f"unknown cell class {unknown[0]!r}" if unknown else "no cell class given"
        raise InputError(f"{what}; the classes are {', '.join(CELL_CLASSES)}")
    if cells < 1:
        raise InputError(f"cells must be at least 1, not {cells}")

    out = Path(out)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = [chosen[i % len(chosen)] for i in range(cells)]
    rng.shuffle(labels)
    patients = max(1, round(cells / CELLS_PER_PATIENT))
    # Each patient's smear is stained apart, so cells of one patient resemble each other.
    smears = [style.varied(rng, 0.5 * style.variation) for _ in range(patients)]
    digits = max(3, len(str(cells - 1)))
    lines = ["image,mask,label,patient"]
    for i, label in enumerate(labels):
        patient = int(rng.integers(patients))
        cell = render_cell(label, smears[patient], rng, size)
        image, mask = f"images/{i:0{digits}d}.png", f"masks/{i:0{digits}d}.png"
        Image.fromarray(cell.image).save(out / image, compress_level=COMPRESSION)
        Image.fromarray(cell.mask.astype(np.uint8) * 255).save(out / mask, compress_level=COMPRESSION)
        lines.append(f"{image},{mask},{label},patient{patient:02d}")
    manifest = out / "manifest.csv"
    write_text(manifest, "\n".join(lines) + "\n")
    return manifest
