"""A request's files, written to a folder as they come in.

python-multipart's `MultipartParser` reads them. Its `FormParser` and Starlette's forms write files to the system's
folder for temporary ones and count them when they are whole; the former holds a text field of any length in memory.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from anyio import fail_after
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from dorl.names import printable
from dorl.serving.limits import Limits, Refused, in_words

#: characters of the longest name that is kept, folders and all
MAX_NAME_LENGTH = 1000
#: quotes and control characters, as browsers write them in a name
_WRITTEN = re.compile(rb"%(22|[01][0-9A-Fa-f]|7[Ff])")
_PC = re.compile(r"[A-Za-z]:\\|\\\\")


@dataclass
class Received:
    """A file as it came in: the name that its sender gave, cleaned, and where it lies under a name of ours."""

    name: str
    path: Path
    bytes: int = 0


def clean_name(name: str) -> str:
    """A sender's file name as one line to show, without the way to it on their disk; its end, where it is too long."""
    if _PC.match(name):
        name = name.rpartition("\\")[2]
    text = "/".join(printable(part) for part in name.split("/") if part not in ("", ".", ".."))
    return text[-MAX_NAME_LENGTH:] or "image"


def sent_name(disposition: bytes) -> str | None:
    """The file name in a part's Content-Disposition, whatever its letters; None for a part that is no file."""
    name = parse_options_header(disposition)[1].get(b"filename")
    if name is None:
        return None
    return _WRITTEN.sub(lambda one: bytes([int(one[1], 16)]), name).decode("utf-8", "surrogateescape")


class _Files:
    """What the parser calls; each part that has a file name becomes a file in `folder`."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits
        self.received: list[Received] = []
        self.file: BinaryIO | None = None
        self._header = (bytearray(), bytearray())
        self._disposition = b""

    def callbacks(self) -> dict[str, object]:
        """By the parser's names for them."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_part_end": self.close,
        }

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def _begin(self) -> None:
        self._disposition = b""
        self._header = (bytearray(), bytearray())

    def _header_end(self) -> None:
        if bytes(self._header[0]).strip().lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _open(self) -> None:
        name = sent_name(self._disposition)
        if name is None:
            return
        if len(self.received) >= self.limits.images:
            raise Refused(413, f"more than {self.limits.images} files: send fewer at a time")
        path = self.folder / f"upload-{len(self.received) + 1:05d}"
        self.received.append(Received(clean_name(name), path))
        self.file = path.open("wb")

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self.file is not None:
            self.file.write(data[start:end])
            self.received[-1].bytes += end - start


async def receive(request: Request, folder: Path, limits: Limits) -> list[Received]:
    """Write the files of a multipart request into `folder`.

    Parameters
    ----------
    request : Request
        Its body is read bit by bit and never held as a whole.
    folder : Path
        Made if need be, within the folder of the page.
    limits : Limits
        Of the body's bytes, of the number of files and of the seconds it may take.

    Returns
    -------
    list of Received

    Raises
    ------
    Refused
        If the request isn't multipart or is damaged, or passes a limit.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused(415, "send the images as multipart/form-data, for example curl -F files=@cell.png")
    too_large = Refused(413, f"the upload is over {in_words(limits.upload)}: send fewer images at a time")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.upload:
        raise too_large
    folder.mkdir(parents=True)
    files = _Files(folder, limits)
    size = 0
    try:
        parser = MultipartParser(options[b"boundary"], files.callbacks())  # type: ignore[arg-type]
        with fail_after(limits.seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.upload:
                    raise too_large
                parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, "the upload is damaged: send it again") from error
    except ClientDisconnect as error:
        raise Refused(400, "the upload broke off: send it again") from error
    except TimeoutError as error:
        raise Refused(408, f"the upload took more than {limits.seconds:.0f} s: send fewer images at a time") from error
    finally:
        files.close()
    if not files.received:
        raise Refused(400, "the upload holds no file: send one or more as the field 'files'")
    return files.received


def new_folder(above: Path) -> Path:
    """A place for a sample's images that nothing has yet."""
    return above / secrets.token_hex(8)
