"""`dorl convert`: cells with their outlines and classes as other tools read them."""

from __future__ import annotations

from pathlib import Path

from dorl.domains import Domain
from dorl.domains.annotations.writing import WRITERS, write_annotations
from dorl.domains.croissant import CROISSANT, write_croissant
from dorl.errors import InputError
from dorl.run.folder import check_folder, make_folder, refuse_run
from dorl.run.outlined import outlined_images
from dorl.runtime.progress import say

#: what `convert` writes
FORMATS = (*WRITERS, CROISSANT)


def convert(
    source: str | Path | Domain,
    *,
    to: str,
    out: str | Path,
    images: str | Path | None = None,
    pixel_size: float | None = None,
) -> list[Path]:
    """Write images and their cells as another tool reads them.

    Parameters
    ----------
    source : str, Path or Domain
        A folder that `dorl count` or `dorl segment` wrote; or a lab: annotations of another tool, too.
    to : str
        ``"coco"``, ``"yolo"`` (boxes), ``"yolo-seg"`` (outlines), ``"voc"``, ``"qupath"`` (GeoJSON), ``"ome-tiff"``,
        ``"imagej"`` (ROIs), or ``"croissant"``: a lab with a manifest and its metadata.
    out : str or Path
        A new or empty folder. Images are copied into it; those of kinds that tools show differently become PNG.
    images : str or Path, optional
        The folder that paths in the tables of `dorl count` and `dorl segment` are relative to; the present one by
        default.
    pixel_size : float, optional
        Side of a pixel in µm, for OME's metadata.

    Returns
    -------
    list of Path
        The annotation files.

    Raises
    ------
    InputError
        If the source can't be used, the format is unknown, or `out` isn't empty.
    """
    if to not in FORMATS:
        raise InputError(f"{to!r} is no format that is written: give one of {', '.join(FORMATS)} for --to")
    if pixel_size is not None and (to != "ome-tiff" or not 0 < pixel_size < 1e6):
        raise InputError(f"--pixel-size {pixel_size}: give the side of a pixel in µm, for --to ome-tiff alone")
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; choose another folder for --out")
    found, left_out = outlined_images(source, images=images)
    for path, reason in left_out:
        say(f"left out: {path}: {reason}")
    make_folder(out)
    if to == CROISSANT:
        written = write_croissant(found, out, name=source.name if isinstance(source, Domain) else Path(source).stem)
    else:
        written = write_annotations(found, to, out, pixel_size=pixel_size)
    say(f"{sum(len(image.cells) for image in found)} cells in {len(found)} images, {len(left_out)} left out: {out}")
    return written
