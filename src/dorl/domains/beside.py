"""Masks that lie among the images: told by their names and by what they show, and given to their images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from dorl.domains.formats import SUFFIXES
from dorl.domains.images import probe_image
from dorl.domains.masks import read_values
from dorl.errors import BadImageError
from dorl.names import composed, text_of
from dorl.words import counted

_WORD = (
    r"(?:cp[-_ ]?)?(?:masks?|segmentations?|segmented|seg|gt|ground[-_ ]?truth|labels?|annotations?|binary"
    r"|nucleus|nuclei|nuc|cyto|cytoplasm)"
)
_PART = re.compile(r"(?:^|[-_. ])(?:nucle\w+|nuc|cyto\w*)(?:$|[-_. ])", re.IGNORECASE)
#: words that name segmented neutrophils, too: without an image beside it such a file isn't a mask
_WEAK = re.compile(r"(?:^|[-_. /])(?:segmented|seg)(?:$|[-_. /])", re.IGNORECASE)
_AFTER = re.compile(rf"(.+?)(?:[-_. ]+{_WORD}(?:[-_. ]?\d+)?|(?<=\d)masks?)", re.IGNORECASE)
_BEFORE = re.compile(rf"(?:{_WORD}[-_. ]+|masks?(?=\d))(.+)", re.IGNORECASE)
_FOLDER = re.compile(rf"{_WORD}(?:[-_ ]?images?)?", re.IGNORECASE)
_IMAGES = ("", "image", "images", "img", "imgs", "cell", "cells", "original", "originals", "raw", "data", "input")
#: so many colours cover so much of a mask
_COLOURS, _COVERED = 4, 0.95
_STEP = 32


@dataclass
class Sorted:
    """Files of a lab, with the masks told from the images.

    Attributes
    ----------
    images : list of str
    masks : dict of str to str
        Mask of an image.
    left_out : list of (str, str)
        Masks without an image, or of another size, and why.
    """

    images: list[str]
    masks: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def remark(self) -> str | None:
        """A sentence that names some of the masks; None where there are none."""
        if not self.masks:
            return None
        named = ", ".join(map(text_of, sorted(self.masks.values())[:3])) + (", …" if len(self.masks) > 3 else "")
        return (
            f"{counted(len(self.masks), 'file is read as a mask', 'files are read as masks')} of the images beside "
            f"them, not as images ({named}); rename them, or give a manifest, if that is wrong"
        )


def without_masks(files: Sequence[str], place_of: Callable[[str], Path]) -> Sorted:
    """Tell masks from images: ``a_mask.png``, ``masks/a.png``, or ``a.png`` beside ``a.jpg``, that show few colours.

    A file that is named like a mask and shows a photograph stays an image.

    Parameters
    ----------
    files : sequence of str
        Names, each once, with the folders that they stand in.
    place_of : callable
        Where the file of a name lies.
    """
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file in files:
        places[_place(PurePosixPath(file))].append(file)
    result = Sorted([])

    def is_photograph(path: Path) -> bool:
        return _size(path) is not None and not _plain_colours(path)

    claimed: dict[str, list[str]] = defaultdict(list)
    for file in files:
        path = PurePosixPath(file)
        named = list(_images_of(path))
        other = next((one for place in named for one in places.get(place, ()) if one != file), None)
        own = [one for one in places[_place(path)] if one != file]
        asked = other or own or (named and not _WEAK.search(path.with_suffix("").as_posix()))
        kinds = _plain_colours(place_of(file)) if asked else 0
        if not kinds:
            result.images.append(file)
            continue
        # a picture of one colour isn't taken for a mask because of the same name with another ending
        photographs = (one for one in own if kinds > 1 and is_photograph(place_of(one)))
        image = other or next(photographs, None)
        if image is not None and _size(place_of(image)) not in (None, _size(place_of(file))):
            result.left_out.append((file, f"is a mask of {text_of(image)} by its name, and of another size"))
        elif image is not None:
            claimed[image].append(file)
        elif named:
            result.left_out.append((file, "is a mask, by its name and its few colours, and has no image beside it"))
        else:
            result.images.append(file)
    images = set(result.images)
    for image, masks in claimed.items():
        part = _PART.search(PurePosixPath(masks[0]).stem)
        if len(masks) == 1 and image in images and not part:
            result.masks[image] = masks[0]
        else:
            shown = text_of(image)
            why = f"shows a part of the cell of {shown} by its name" if part else f"is one of several masks of {shown}"
            result.left_out += [(one, f"{why}: give one mask of the whole cell") for one in masks]
    return result


def _place(path: PurePosixPath) -> tuple[str, str]:
    return _folded(path.parent.as_posix()), _folded(path.stem)


def _folded(text: str) -> str:
    """The same for letters large and small, and with their marks apart and together."""
    return composed(text).casefold()


def _images_of(path: PurePosixPath) -> Iterator[tuple[str, str]]:
    """Folder and stem of the images that a file may be the mask of, by its name; none where it has no mask's name."""
    after, before = _AFTER.fullmatch(path.stem), _BEFORE.fullmatch(path.stem)
    stems = [_folded(match[1]) for match in (after, before) if match]
    stems += [PurePosixPath(stem).stem for stem in stems if PurePosixPath(stem).suffix in SUFFIXES]  # a.png.mask.png
    folder = _folded(path.parent.as_posix())
    yield from ((folder, stem) for stem in stems)
    parts = path.parent.parts
    for i in reversed([i for i, part in enumerate(parts) if _FOLDER.fullmatch(part)]):
        for word in _IMAGES:
            other = _folded(PurePosixPath(*parts[:i], *([word] if word else []), *parts[i + 1 :]).as_posix())
            yield from ((other, stem) for stem in (_folded(path.stem), *stems))


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return probe_image(path)
    except BadImageError:
        return None


def _plain_colours(path: Path) -> int:
    """How many colours a mask has; 0 for a file that shows more than a few, or that can't be read."""
    try:
        values, lossy = read_values(path)
    except BadImageError:
        return 0
    step = max(1, min(values.shape[:2]) // 256)
    values = values[::step, ::step]
    if lossy:
        if values.dtype != np.uint8 or np.ptp(values.astype(int), axis=2).mean() > _STEP / 4:  # a coloured picture
            return 0
        values = values // _STEP
    _, counts = np.unique(values.reshape(-1, values.shape[2]), axis=0, return_counts=True)
    return len(counts) if np.sort(counts)[-_COLOURS:].sum() >= _COVERED * counts.sum() else 0
