r"""Names of files at the border: as text that any table, database or print holds, and back to the very file.

Inside dorl a path is *text*: Unicode without surrogates. Bytes of a name that aren't UTF-8 stand in it as ``\xe9``,
and a name that holds such letters itself has its backslash written ``\x5c``. So each file has one text, and each text
that `text_of` made leads back to its file. `find_below` finds what a person, a spreadsheet or another system wrote.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath

#: bytes of the longest name that common file systems take
MAX_NAME_BYTES = 255
#: what a spreadsheet takes for the beginning of a formula, its wide forms too
FORMULA = "=+-@\t\r\n＝＋－＠"

_CODE = r"(?:x([89a-f][0-9a-f]|5c)|u(d[89a-f][0-9a-f]{2}))"
_CODED = re.compile(rf"\\{_CODE}")
_LOOKS_CODED = re.compile(rf"\\(?={_CODE})")
_SURROGATE = re.compile("[\ud800-\udfff]")
#: what would break a line, or turn the letters beside it around
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ESCAPED = re.compile(rf"'+[{re.escape(FORMULA)}]")
_DRIVE = re.compile(r"[A-Za-z]:/")


def text_of(name: str) -> str:
    """The text of a file's name; itself for nearly all names."""
    return without_surrogates(_LOOKS_CODED.sub(r"\\x5c", name))


def file_of(text: str) -> str:
    """The file's name of a text that `text_of` made."""
    return _CODED.sub(_decoded, text)


def _decoded(match: re.Match[str]) -> str:
    if match[2]:
        return chr(int(match[2], 16))
    return "\\" if match[1] == "5c" else chr(0xDC00 + int(match[1], 16))


def without_surrogates(text: str) -> str:
    r"""The same text with what UTF-8 can't hold written ``\xe9``."""
    return _SURROGATE.sub(_code, text)


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


def printable(text: str) -> str:
    """The same text for one line of a terminal or page: no line break, control or change of direction in it."""

    def coded(match: re.Match[str]) -> str:
        number = ord(match[0])
        return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

    return _UNPRINTABLE.sub(coded, without_surrogates(text))


def composed(text: str) -> str:
    """Letters with their marks as one sign (NFC), as most keyboards write them."""
    return unicodedata.normalize("NFC", text)


def no_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `with_formula` gives it back."""
    return f"'{text}" if text[:1] in tuple(FORMULA) or _ESCAPED.match(text) else text


def with_formula(text: str) -> str:
    """The text that `no_formula` was given."""
    return text[1:] if _ESCAPED.match(text) else text


def plain_path(text: str) -> str:
    """A relative path that means the same, and begins with nothing that a table's reader would change."""
    odd = text[:1] in tuple(FORMULA + "'\"#\ufeff") or text != text.strip()
    return f"./{text}" if odd else text


def shortened(stem: str, ending: str) -> str:
    """A file name of at most `MAX_NAME_BYTES` bytes: ``stem + ending``, or the stem cut, with a mark of what it was."""
    room = MAX_NAME_BYTES - len(ending.encode())
    whole = without_surrogates(stem)
    data = whole.encode()
    if len(data) <= room:
        return whole + ending
    mark = "~" + sha256(data).hexdigest()[:12]
    return data[: room - len(mark)].decode(errors="ignore") + mark + ending


def leads_out(path: str) -> bool:
    """Whether a POSIX path is no path within a folder: absolute, with a drive, upwards, or with a NUL."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or _DRIVE.match(path) is not None or "\0" in path


def find_below(root: Path, written: str) -> str | None:
    """The file that a text means.

    What was written wins: another reading is tried only where no file has the name as it stands.

    Parameters
    ----------
    root : Path
        The folder that the text is relative to.
    written : str
        By dorl, a person, a spreadsheet (which may have put an apostrophe before it), or another system (with
        backslashes between folders, letters and marks apart or together, or in Latin letters of one byte).

    Returns
    -------
    str or None
        The file's own name, POSIX, relative to `root`; None where there is no such file.
    """
    readings = [text for text in dict.fromkeys(_readings(written)) if text and not leads_out(text)]
    for text in readings:
        if _is_file(root / text):
            return PurePosixPath(text).as_posix()
    for text in readings:
        found = _composed_below(root, PurePosixPath(text).parts)
        if found is not None:
            return found
    return None


def _readings(written: str) -> Iterator[str]:
    for text in dict.fromkeys((written, written.strip(), with_formula(written), with_formula(written.strip()))):
        for one in (file_of(text), text):
            yield one
            yield one.replace("\\", "/")
        if _SURROGATE.search(text):
            try:
                yield text.encode(errors="surrogateescape").decode("cp1252")
            except UnicodeError:
                continue


def _composed_below(root: Path, parts: tuple[str, ...]) -> str | None:
    """The one file whose folders and name are the same letters, with their marks apart or together."""
    place, found = root, []
    for part in parts:
        if not _exists(place / part):
            wanted = composed(part)
            try:
                same = [entry.name for entry in place.iterdir() if composed(entry.name) == wanted]
            except (OSError, ValueError):
                return None
            if len(same) != 1:
                return None
            part = same[0]
        place /= part
        found.append(part)
    return "/".join(found) if _is_file(place) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name longer than the file system allows, or one that no file can have
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
