"""Which files are slides, and with what each is opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dorl.domains.domain import Domain
from dorl.domains.formats import SUFFIXES
from dorl.domains.gathering import fetched, place_of
from dorl.domains.opening import MAX_PIXELS, opened_file_of_any_size, told
from dorl.domains.slides.slide import Slide
from dorl.domains.urls import file_at, shown
from dorl.errors import BadImageError

#: endings of TIFFs; some are slides, others fields
TIFFS = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
#: endings that are slides' alone and are TIFFs inside, and those that only OpenSlide reads
SCANNED = (".svs", ".ndpi", ".scn", ".bif")
OTHERS = (".mrxs", ".dcm", ".czi", ".vms", ".vmu", ".svslide")
#: endings of the parts of slides of several files
PARTS = (".dat", ".ini", ".opt")


def is_slide(path: str | Path) -> bool:
    """Whether a file is a slide: by its ending; a TIFF if it is a pyramid, or larger than a field may be."""
    path = Path(path)
    ending = path.suffix.lower()
    if ending in (*SCANNED, *OTHERS):
        return path.is_file()
    if ending not in TIFFS:
        return False
    import tifffile

    try:
        with told(path), opened_file_of_any_size(path) as stream, tifffile.TiffFile(stream, _multifile=False) as tiff:
            page = tiff.pages.first
            if page.imagewidth * page.imagelength > MAX_PIXELS:
                return True
            return (len(tiff.pages) > 1 or page.subifds is not None) and len(tiff.series[0].levels) > 1
    except BadImageError:
        return False


def slides_among(given: Sequence[str | Path]) -> tuple[list[tuple[str, Path]], list[str | Path]]:
    """Part slides from images.

    Parameters
    ----------
    given : sequence of str or Path
        Slides, images, folders of either (searched below, too), or manifests; as a path, a URL or ``name=path``.

    Returns
    -------
    slides : list of (str, Path)
        Each once: as it is shown, and where it lies.
    rest : list of str or Path
        What else was given, or where it was fetched to; a folder whose images are all slides isn't among it.
    """
    found: dict[Path, tuple[str, Path]] = {}
    rest: list[str | Path] = []
    for one in given:
        one = fetched(one, (*SCANNED, *OTHERS, *PARTS))
        path = place_of(one)
        own = slides_below(path) if path.is_dir() else [path] if is_slide(path) else []
        for slide in own:
            found.setdefault(slide.resolve(), (shown(slide.as_posix()), slide))
        if not own or (path.is_dir() and _holds_others(path, own)):
            rest.append(one)
    return list(found.values()), rest


def slides_below(folder: Path) -> list[Path]:
    """Every slide below a folder, sorted; of the files of one DICOM slide, which share a folder, the first.

    Hidden files and folders are passed over.
    """
    found: list[Path] = []
    dicom: set[Path] = set()
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not is_slide(path):
            continue
        if path.suffix.lower() == ".dcm":
            if path.parent in dicom:
                continue
            dicom.add(path.parent)
        found.append(path)
    return found


def _holds_others(folder: Path, slides: Sequence[Path]) -> bool:
    """Whether a folder holds images beside slides and their parts."""
    return any(
        path.suffix.lower() in SUFFIXES and path.is_file() and not _is_part(path, slides) for path in folder.rglob("*")
    )


def _is_part(path: Path, slides: Sequence[Path]) -> bool:
    """Whether a file is one of some slides, or lies with a slide that has several files."""
    path = path.resolve()
    for slide in slides:
        own, ending = slide.resolve(), slide.suffix.lower()
        beside = ending == ".mrxs" and own.with_suffix("") in path.parents
        if path == own or beside or (ending in (".dcm", ".vms", ".vmu") and path.parent == own.parent):
            return True
    return False


def without_slides(lab: Domain, slides: Sequence[Path]) -> Domain:
    """A lab without slides and their parts, among its images and among what is left out."""

    def others(paths: Iterable[str]) -> np.ndarray:
        return np.array([not _is_part(lab.root / file_at(path), slides) for path in paths], bool)

    if not slides:
        return lab
    left_out = lab.left_out[others(lab.left_out["path"])].reset_index(drop=True)
    return replace(lab.take(np.flatnonzero(others(lab.table["path"])).tolist()), left_out=left_out)


def open_slide(path: str | Path) -> Slide:
    """Open a slide.

    OME-TIFF and other TIFFs are read by tifffile with zarr (extra ``zarr``), all else by OpenSlide (extra
    ``openslide``); SVS, NDPI, SCN and BIF by tifffile, too, where OpenSlide isn't installed.

    Parameters
    ----------
    path : str or Path
        Of a DICOM slide any of its files; the others lie beside it.

    Raises
    ------
    BadImageError
        If the file is missing, damaged, truncated, no slide, in more than 8 bits a colour, or without small levels; or
        if what reads it isn't installed.
    """
    path = Path(path)
    ending = path.suffix.lower()
    with_openslide = find_spec("openslide") is not None
    if ending in TIFFS or (ending in SCANNED and not with_openslide):
        if find_spec("zarr") is None:
            raise BadImageError(f"{path}: slides in TIFF are read with zarr: pip install 'dorl[zarr]'")
        from dorl.domains.slides.by_tifffile import TiffSlide

        return TiffSlide.open(path)
    if not with_openslide:
        raise BadImageError(f"{path}: {ending} is read with OpenSlide: pip install 'dorl[openslide]'")
    from dorl.domains.slides.by_openslide import OpenSlideSlide

    return OpenSlideSlide.open(path)
