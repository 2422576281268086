"""From what a request brings, or a folder of the server holds, to the images of a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dorl.domains.beside import without_masks
from dorl.domains.images import probe_image
from dorl.domains.listing import image_files
from dorl.errors import BadImageError
from dorl.names import file_of, text_of
from dorl.serving.limits import Limits, Refused, in_words
from dorl.serving.uploads.archives import is_zip, unpack
from dorl.serving.uploads.multipart import Received
from dorl.words import counted


@dataclass
class Upload:
    """Images of a sample.

    Attributes
    ----------
    images : list of (str, str, int)
        Name to show, file within the sample's folder, bytes.
    left_out : list of (str, str)
        Name and reason.
    """

    images: list[tuple[str, str, int]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def require_one(self) -> Upload:
        """Itself, where there is an image to look at."""
        if not self.images:
            more = f" (and {len(self.left_out) - 1} more)" if len(self.left_out) > 1 else ""
            why = "; ".join(f"{name}: {reason}" for name, reason in self.left_out[:1])
            raise Refused(400, f"no image that can be used: {why or 'there is none'}{more}")
        return self


def take_uploaded(received: list[Received], folder: Path, limits: Limits) -> Upload:
    """Unpack zips, and look at the header of each image; what can't be used is removed from `folder`.

    Raises
    ------
    Refused
        If a zip is refused, there are too many images, or not one can be used.
    """
    upload = Upload()
    files: list[Received] = []
    zips = {file.path for file in received if is_zip(file.path)}
    images = len(received) - len(zips)
    size = sum(file.bytes for file in received if file.path not in zips)
    for file in received:
        if file.path in zips:
            first = len(received) + len(files) + 1
            unpacked, passed = unpack(file, folder, limits, first=first, images=images, size=size)
            images += len(unpacked)
            size += sum(one.bytes for one in unpacked)
            files += unpacked
            upload.left_out += passed
            file.path.unlink()
        else:
            files.append(file)
    if len(files) > limits.images:
        raise Refused(413, f"{counted(len(files), 'image')}, over {limits.images}: send fewer at a time")
    named = {file.name: file.path for file in reversed(files)}  # of several files of one name, the first
    masks = _masks(list(named), named.__getitem__)
    for file in files:
        reason = unusable(file.path, file.bytes, limits)
        if not reason and file.path == named[file.name]:
            reason = masks.get(file.name, "")
        if reason:
            upload.left_out.append((file.name, reason))
            file.path.unlink()
        else:
            upload.images.append((file.name, file.path.name, file.bytes))
    return upload.require_one()


def take_folder(folder: Path, limits: Limits) -> Upload:
    """Images in a folder of the server and below, as the commands find them; what isn't taken, and why."""
    root = folder.resolve()
    files, passed = image_files(root)
    if len(files) > limits.images:
        raise Refused(413, f"the folder has over {counted(limits.images, 'image')}: allow a smaller folder")
    upload = Upload(left_out=[(text_of(file), reason) for file, reason in passed])
    masks = _masks(files, lambda file: root / file)
    for file in files:
        path, shown = root / file, text_of(file)
        size = path.stat().st_size if path.is_file() else 0
        if reason := unusable(path, size, limits) or masks.get(file):
            upload.left_out.append((shown, reason))
        else:
            upload.images.append((shown, shown, size))
    return upload.require_one()


def _masks(files: Sequence[str], place_of: Callable[[str], Path]) -> dict[str, str]:
    """Which files are masks, which are no cells, and why; arguments as for `dorl.domains.beside.without_masks`."""
    paired = without_masks(files, place_of)
    return dict(paired.left_out) | {
        mask: f"is a mask of {text_of(image)}, by its name and its few colours: rename it if it is an image"
        for image, mask in paired.masks.items()
    }


def unusable(path: Path, size: int, limits: Limits) -> str:
    """Why a file can't be used, as far as its header tells; empty where it can."""
    if size > limits.image:
        return f"over {in_words(limits.image)}"
    try:
        width, height = probe_image(path)
    except BadImageError as error:
        return error.without(path)
    return f"over {limits.pixels // 10**6} megapixels" if width * height > limits.pixels else ""


@dataclass(frozen=True)
class Place:
    """Where a sample's images lie: in a folder of its own, or in one of the server's, by name.

    Attributes
    ----------
    folder : str
        Its own, within the folder of all samples; empty where it has none. What is cut out of fields lies here.
    allowed : str or None
        The name of the server's folder in which the images given lie.
    """

    folder: str
    allowed: str | None


class Places:
    """Where the images of samples lie.

    Parameters
    ----------
    samples : Path
        Folder of all samples that were uploaded.
    allowed : mapping of str to Path
        Folders of the server that may be picked, by name.
    """

    def __init__(self, samples: Path, allowed: Mapping[str, Path]) -> None:
        self.samples = samples
        self.allowed = dict(allowed)

    def given(self, place: Place, file: str) -> Path:
        """The file of an image that was given, a cell's or a field's.

        Raises
        ------
        BadImageError
            If the folder isn't allowed any more, or the file lies outside it.
        """
        root = self.samples / place.folder if place.allowed is None else self.allowed.get(place.allowed)
        if root is None:
            raise BadImageError(f"the folder {place.allowed} isn't allowed any more (dorl serve --allow)")
        return _within(root, file)

    def cell(self, place: Place, file: str) -> Path:
        """The file of a cell's image: given, or cut out of a field; raises as `given` does."""
        return _within(self.samples / place.folder, file) if place.folder else self.given(place, file)


def _within(root: Path, file: str) -> Path:
    path = (root / file_of(file)).resolve()
    if not path.is_relative_to(root.resolve()):
        raise BadImageError("lies outside its folder")
    return path
