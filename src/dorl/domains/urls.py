"""URLs of images, and the file in the cache that stands for each; either is told from the other alone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from dorl.errors import InputError
from dorl.names import file_of, leads_out, text_of

#: where what is fetched lies when this variable doesn't name a folder
DEFAULT_CACHE = Path("~/.cache/dorl")
CACHE_VARIABLE = "DORL_CACHE"
#: schemes whose names are written with %20 and the like, and may have a query
WEB = ("http", "https")

#: a drive has one letter
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)


def is_url(text: str) -> bool:
    """Whether a text is a URL, such as ``s3://bucket/lab``; no path is one, since a path has no two slashes."""
    return _URL.match(text) is not None


def cache_folder() -> Path:
    """The folder of all that is fetched: ``urls`` in what ``DORL_CACHE`` names, else in ``~/.cache/dorl``."""
    return Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser().absolute() / "urls"


def scheme_of(url: str) -> str:
    """``s3`` of ``S3://bucket/lab``."""
    return url.partition("://")[0].lower()


def without_secrets(url: str) -> str:
    """A URL without user, password and query, for results and messages."""
    scheme, server, path = _split(url)
    return f"{scheme}://{server}" + (f"/{path}" if path else "")


def stays_below(name: str) -> bool:
    """Whether a relative name, with ``/`` between folders, is that of a file below its folder on every system."""
    return not (leads_out(name) or "\\" in name or any(part in ("", ".") for part in name.split("/")))


def mirror_of(url: str) -> Path:
    """The file or folder in the cache that stands for a URL.

    Raises
    ------
    InputError
        If the URL names no place of its own, or one that would leave the cache.
    """
    scheme, server, path = _split(url)
    shown = without_secrets(url)
    if "::" in url:
        raise InputError(f"{shown}: URLs in a chain (::) aren't read; unpack an archive, and give its folder")
    if scheme in ("file", "local"):
        raise InputError(f"{shown}: is on this machine; give it as a path")
    if "?" in url and scheme not in WEB:
        raise InputError(f"{shown}: leave out the question mark of the URL and what stands behind it")
    path = (unquote(path) if scheme in WEB else path).rstrip("/")
    if not stays_below(f"{server}/{path}" if path else server):
        raise InputError(f"{shown}: names no place of its own; give a URL without empty parts, backslashes, . and ..")
    return _mirror(scheme, server, path)


def shown(path: str | Path) -> str:
    """How a file or folder is named in results: its text (`dorl.names`), and of a fetched one its URL."""
    try:
        scheme, *names = Path(path).relative_to(cache_folder()).parts
    except ValueError:  # elsewhere
        return text_of(str(path))
    return f"{scheme}://" + "/".join([*map(unquote, names[:1]), *map(text_of, names[1:])])


def file_at(text: str) -> Path:
    """The file that `shown` gave a text of, or `dorl.names.text_of`."""
    if is_url(text):
        scheme, _, rest = text.partition("://")
        server, _, path = rest.partition("/")
        if stays_below(f"{scheme}/{quote(server, safe='')}/{file_of(path)}".rstrip("/")):
            return _mirror(scheme, server, file_of(path))
    return Path(file_of(text))


def _mirror(scheme: str, server: str, path: str) -> Path:
    return cache_folder() / scheme / quote(server, safe="") / path  # Windows has no colon, which a port has


def _split(url: str) -> tuple[str, str, str]:
    """Scheme, server or bucket, and path of a URL, without user, password and query."""
    rest = url.partition("://")[2].partition("?")[0]
    scheme = scheme_of(url)
    server, _, path = (rest.partition("#")[0] if scheme in WEB else rest).partition("/")
    return scheme, server.rpartition("@")[2], path
