"""Which files are images: the endings and kinds that are read, and others that are told by name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PIL import features

from dorl.files import is_special

#: kinds that are read, as messages name them
READ = "jpg, png, bmp, tiff, webp or gif"
_BY_PILLOW = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga",),
}
_HEIC = (".heic", ".heif", ".hif")
if features.check("avif"):
    _BY_PILLOW["AVIF"] = (".avif",)
if find_spec("pillow_heif") is not None:
    _BY_PILLOW["HEIF"] = _HEIC
#: Pillow's names of the kinds that are read
FORMATS = tuple(_BY_PILLOW)
#: endings of files that are taken for images
SUFFIXES = frozenset(ending for endings in _BY_PILLOW.values() for ending in endings)
#: endings of notes, tables, weights and programs: never images, and passed over in silence
_NOTES = frozenset(
    {
        *(".txt", ".md", ".rst", ".rtf", ".log", ".html", ".htm", ".pdf", ".doc", ".docx", ".odt", ".bib"),
        *(".csv", ".tsv", ".xls", ".xlsx", ".ods", ".parquet", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
        *(".ini", ".cfg", ".db", ".sqlite", ".py", ".ipynb", ".r", ".m", ".sh", ".bat", ".lnk", ".url", ".part"),
        *(".sha256", ".md5", ".npz", ".h5ad", ".safetensors", ".skops", ".pt", ".pth", ".sum"),
    }
)
#: first bytes of kinds that can be read
_MAGIC = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
)


def register() -> None:
    """Let Pillow open HEIC files, where the package for that is installed."""
    if "HEIF" in _BY_PILLOW:
        from pillow_heif import register_heif_opener

        register_heif_opener()


def why_not(path: Path) -> str | None:
    """Why a file whose ending isn't in `SUFFIXES` isn't read; None for notes, tables and the like, which are no images.

    Of a file without a known ending the first bytes are looked at.
    """
    ending = path.suffix.lower()
    if is_special(path):
        return None if ending in _NOTES else "is no regular file"
    if ending in (*_HEIC, ".avif"):
        return why_not_by_name(ending)
    kind = _kind(path)
    if kind is not None and ending not in _NOTES:
        return f"is a {kind} image without the ending .{kind}: rename it"
    if ending in _NOTES or (not ending and not _is_binary(path)):
        return None
    if not ending:
        return "has no ending, and is no image that is read: save it as png or tiff, if it is one"
    return why_not_by_name(ending)


def why_not_by_name(ending: str) -> str | None:
    """`why_not` of a file that can't be looked into, by its ending in small letters alone."""
    if ending in _HEIC:
        return "heic is read with the package pillow-heif: pip install 'dorl[heic]'"
    if ending == ".avif":
        return "this Pillow reads no avif: update Pillow, or save it as png"
    if ending in _NOTES:
        return None
    if not ending:
        return "has no ending: give it that of its kind, if it is an image"
    return f"{ending} is not read: save it as png or tiff, if it is an image"


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(1024)
    except OSError:
        return False


def _kind(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        return "heic" if head[8:12] != b"avif" else "avif"
    if head[:2] == b"BM" and head[6:10] != b"\0\0\0\0":
        return None
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)
