"""Cells for microscopists' programs: a picture of numbers with OME's metadata, and ImageJ's outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage
from dorl.domains.annotations.shapes import Polygons, rectangle, traced
from dorl.errors import InputError

#: the namespace of the classes in OME's metadata
NAMESPACE = "dorl/classes"


def label_picture(image: AnnotatedImage) -> np.ndarray:
    """0 outside cells, i + 1 in cell i: uint16 (H, W), or uint32 for more than 65,535 cells.

    A cell without an outline fills its box; of two that overlap the later one is seen.
    """
    assert image.size is not None
    width, height = image.size
    labels = np.zeros((height, width), np.uint16 if len(image.cells) < 2**16 else np.uint32)
    for number, cell in enumerate(image.cells, start=1):
        shape = cell.shape or Polygons(((rectangle(cell.box_in(image.size)),),))
        left, top, right, bottom = shape.window()
        window = max(0, left), max(0, top), min(width, right), min(height, bottom)
        if window[0] < window[2] and window[1] < window[3]:
            labels[window[1] : window[3], window[0] : window[2]][shape.pixels(window)] = number
    return labels


def write_ome(path: Path, image: AnnotatedImage, *, pixel_size: float | None = None) -> None:
    """Write `label_picture` as OME-TIFF; a map annotation has each cell's class by its number.

    Parameters
    ----------
    path : Path
        Ends in ``.ome.tif``.
    image : AnnotatedImage
    pixel_size : float, optional
        Side of a pixel in µm.
    """
    import tifffile

    metadata: dict[str, object] = {"axes": "YX", "Name": image.path}
    if pixel_size is not None:
        metadata |= {"PhysicalSizeX": pixel_size, "PhysicalSizeXUnit": "µm"}
        metadata |= {"PhysicalSizeY": pixel_size, "PhysicalSizeYUnit": "µm"}
    if image.cells:
        classes = {str(number): cell.label or "" for number, cell in enumerate(image.cells, start=1)}
        metadata["MapAnnotation"] = {"Namespace": NAMESPACE, **classes}
    tifffile.imwrite(path, label_picture(image), ome=True, metadata=metadata, compression="zlib")


def write_rois(path: Path, image: AnnotatedImage) -> None:
    """Write outlines as ImageJ's ``RoiSet.zip``, named by number and class; a cell in several parts has several.

    Holes are left out, since a ROI of ImageJ's is one ring.

    Raises
    ------
    InputError
        If the package roifile is missing.
    """
    try:
        import roifile
    except ImportError as error:
        raise InputError("ImageJ's ROIs need the package roifile: pip install 'dorl[exchange]'") from error
    assert image.size is not None
    rois = []
    for number, cell in enumerate(image.cells, start=1):
        outline = cell.mask()
        name = f"{number:04d} {cell.label or ''}".strip()
        if outline is None:
            rings = [rectangle(cell.box_in(image.size))]
        else:
            mask, corner = outline
            rings = [part[0] + np.array(corner) for part in traced(mask).parts]
        for part, points in enumerate(rings, start=1):
            roi = roifile.ImagejRoi.frompoints(points, name=name if len(rings) == 1 else f"{name} part {part}")
            roi.roitype = roifile.ROI_TYPE.POLYGON
            # places are between pixels, as ImageJ has them: roifile adds one for those of pixels
            roi.right, roi.bottom = (int(side) for side in points.max(axis=0))
            rois.append(roi)
    path.unlink(missing_ok=True)
    roifile.roiwrite(path, rois)
