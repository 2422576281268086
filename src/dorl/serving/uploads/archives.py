"""Images out of a zip of unknown origin."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from dorl.domains.formats import SUFFIXES, why_not_by_name
from dorl.names import leads_out
from dorl.serving.limits import Limits, Refused, in_words
from dorl.serving.uploads.multipart import Received, clean_name

#: bytes of a zip's list of contents, of its mark at the end, and the longest comment behind that
MAX_LISTED_BYTES, END, COMMENT = 8 * 2**20, 22, 65_535
CHUNK = 2**16


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\3\4", b"PK\5\6")


def unpack(
    archive: Received, folder: Path, limits: Limits, *, first: int = 1, images: int = 0, size: int = 0
) -> tuple[list[Received], list[tuple[str, str]]]:
    """Write the images of a zip into `folder`, under names of ours.

    Parameters
    ----------
    archive : Received
    folder : Path
    limits : Limits
        Of the number of images and of their bytes, which are counted while they are unpacked, whatever the zip says.
    first : int
        Number in the first file's name.
    images, size : int
        Images that the same upload has brought already, and their bytes; they count as well.

    Returns
    -------
    list of Received
        What has the ending of an image, in the zip's order; hidden files and those of macOS' own are passed over.
    list of (str, str)
        Name and reason of each other file that is no note or table.

    Raises
    ------
    Refused
        If the zip is damaged, encrypted, names a place outside itself, holds no image, or passes a limit. What was
        unpacked until then stays in `folder`.
    """
    _check_list(archive)
    found: list[Received] = []
    left_out: list[tuple[str, str]] = []
    try:
        with zipfile.ZipFile(archive.path) as opened:
            chosen, left_out = _sorted(opened, archive.name, limits.images, images)
            for entry in chosen:
                left = limits.unpacked - size
                path = folder / f"upload-{first + len(found):05d}"
                copied = _copy(opened, entry, path, min(left, limits.image))
                if copied > left:
                    raise Refused(
                        413, f"{archive.name}: unpacks to over {in_words(limits.unpacked)}: send fewer images"
                    )
                # one image that is too large is left out later, as one that came alone would be
                found.append(Received(clean_name(_name(entry)), path, copied))
                size += copied
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise Refused(400, f"{archive.name}: damaged zip ({error}): make it anew") from error
    except RuntimeError as error:  # zipfile's word for a password
        raise Refused(400, f"{archive.name}: the zip is encrypted: send one without a password") from error
    if not found:
        raise Refused(400, f"{archive.name}: no image in the zip: it takes jpg, png, bmp, tiff, webp and gif")
    return found, left_out


def _check_list(archive: Received) -> None:
    """Refuse a zip whose list of contents would fill the memory, as it is read at once when the zip is opened."""
    size = archive.path.stat().st_size
    with archive.path.open("rb") as file:
        file.seek(max(0, size - END - COMMENT - 20))
        tail = file.read()
    plain = tail[-END:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")
    at = len(tail) - END if plain else tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < END:
        raise Refused(400, f"{archive.name}: damaged zip (its end is missing): send it again")
    listed = int.from_bytes(tail[at + 12 : at + 16], "little")
    if listed > MAX_LISTED_BYTES or tail[max(0, at - 20) : at].startswith(b"PK\6\7"):
        raise Refused(413, f"{archive.name}: too many files in the zip: send fewer images at a time")


def _sorted(
    opened: zipfile.ZipFile, name: str, most: int, before: int
) -> tuple[list[zipfile.ZipInfo], list[tuple[str, str]]]:
    """The images of a zip, and what else is in it that may be one, and why it isn't read."""
    chosen, left_out = [], []
    for entry in opened.infolist():
        path = PurePosixPath(entry.orig_filename.replace("\\", "/"))
        if leads_out(path.as_posix()):
            raise Refused(400, f"{name}: names a place outside the zip ({clean_name(_name(entry))}): make it anew")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(400, f"{name}: packed in a way that isn't read here: make it anew as an ordinary zip")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        ending = path.suffix.lower()
        if entry.is_dir() or hidden:
            continue
        if ending in SUFFIXES:
            chosen.append(entry)
        elif reason := why_not_by_name(ending):
            left_out.append((clean_name(_name(entry)), reason))
    if before + len(chosen) > most:
        raise Refused(413, f"{name}: {before + len(chosen)} images in the upload, over {most}: send fewer at a time")
    return chosen, left_out


def _name(entry: zipfile.ZipInfo) -> str:
    """The name of a zip's file. Many packers write UTF-8 and don't say so, and zipfile takes it for code page 437."""
    name = entry.orig_filename
    if entry.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _copy(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, most: int) -> int:
    """Unpack one file, and stop behind `most` bytes; how many there were till then."""
    size = 0
    with opened.open(entry) as source, path.open("wb") as target:
        while size <= most and (chunk := source.read(CHUNK)):
            target.write(chunk)
            size += len(chunk)
    return size
