"""Images at URLs, fetched through fsspec into the cache; a file that is there already, unchanged, isn't fetched again.

fsspec is imported here alone, and only for a URL: ``pip install 'dorl[remote]'``.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from zlib import crc32

from dorl.domains.annotations.reading import ENDINGS
from dorl.domains.columns import read_table
from dorl.domains.formats import READ, SUFFIXES
from dorl.domains.manifest import MANIFEST_SUFFIXES
from dorl.domains.opening import MAX_BYTES
from dorl.domains.urls import (
    CACHE_VARIABLE,
    WEB,
    cache_folder,
    mirror_of,
    scheme_of,
    shown,
    stays_below,
)
from dorl.errors import DorlError, InputError
from dorl.files import atomic
from dorl.runtime.progress import say, track

#: endings of tables and annotations that are read with a folder's images
BESIDE = (".csv", ".json", ".geojson")
#: endings of single files
SINGLE = (*SUFFIXES, *MANIFEST_SUFFIXES, *ENDINGS, ".npz")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
#: files that are fetched at the same time, where the store's driver can do that
WORKERS = 16

#: what drivers call that which changes with a file's content, the surest first
_TAGS = (
    *("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "Last-Modified"),
    *("updated", "mtime", "modified", "modify", "created"),
)
#: faults of the disk that the cache lies on
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR)

#: by files in the cache, what the driver calls each, and what it says of it if it did
_Wanted = dict[Path, tuple[str, Mapping[str, Any]]]


def fetch(url: str, *, slides: Collection[str] = ()) -> Path:
    """Fetch what dorl reads of what lies at a URL.

    Processes that fetch into one cache at the same time share the work, since each begins elsewhere.

    Parameters
    ----------
    url : str
        Of a folder: its images, with the tables and annotations among them. Of a manifest: it and the images and masks
        that it lists. Of annotations: they and the images in their folder and below. Or of an image.
    slides : collection of str
        Endings of slides, and of their parts, to be fetched, too. Images may then be of any size.

    Returns
    -------
    Path
        In the cache, where the names are those of the URL. What isn't at the URL any more is removed from a folder.

    Raises
    ------
    InputError
        If fsspec or the driver of the store is missing, the URL can't be used, nothing can be read there, or the cache
        can't be written.
    DorlError
        If fetching fails when it has begun; what was fetched stays for the next time.
    """
    place = mirror_of(url)
    ending = "" if url.endswith("/") else place.suffix.lower()
    if ending in ARCHIVES:
        raise InputError(f"{shown(place)}: is an archive, which isn't read; unpack it there, and give its folder")
    store = _Store(url, slides)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(_disk(error)) from error
    if ending not in (*SINGLE, *slides):
        store.fetch_folder(place, store.root, also=BESIDE, tidy=True)
        return place
    store.fetch({place: (store.root, {})})
    if not place.is_file():
        raise InputError(f"{shown(place)}: no such file, or one over {MAX_BYTES // 2**20} MB; check the URL")
    above = store.root.partition("?")[0].rpartition("/")[0] if store.web else store.root.rpartition("/")[0]
    if ending in MANIFEST_SUFFIXES:
        named = {place.parent / name: f"{above}/{store.written(name)}" for name in _listed(place)}
        store.fetch({file: (remote, {}) for file, remote in named.items()})
    elif ending in ENDINGS:
        store.fetch_folder(place.parent, above)
    return place


def _listed(manifest: Path) -> list[str]:
    """Images and masks of a manifest that lie below its folder; `dorl.domains.manifest` tells of the others."""
    table, _ = read_table(manifest, any_class=True)
    values = [value for name in ("image", "mask") if name in table for value in table[name].dropna()]
    names = [str(value).strip().replace("\\", "/").removeprefix("./") for value in values]
    return [name for name in dict.fromkeys(names) if stays_below(name)]


class _Store:
    """Where a URL leads: a bucket, a server, …

    Attributes
    ----------
    root : str
        What the driver calls the place of the URL.
    web : bool
        Whether the driver's names are URLs.
    """

    def __init__(self, url: str, slides: Collection[str]) -> None:
        self._name, self._slides = shown(mirror_of(url)), slides
        self.web = scheme_of(url) in WEB
        self._driver, self.root = _driver(url, self._name)

    def written(self, name: str) -> str:
        """A relative name as the driver has it."""
        return quote(name) if self.web else name

    def fetch_folder(self, place: Path, root: str, *, also: Collection[str] = (), tidy: bool = False) -> None:
        """Fetch the images below a folder, and files of some endings `also`; with `tidy` remove what isn't there."""
        above = root.rstrip("/") + "/"
        with _told(self._name, InputError, "check the URL and the network"):
            self._driver.invalidate_cache()
            try:
                found = self._driver.find(root, detail=True)
                if not found:
                    self._driver.ls(root)  # finds out why, where a driver passes over what fails
            except FileNotFoundError as error:
                self._raise_hidden(error)
                found = {}
        names = {path.removeprefix(above): (path, info) for path, info in found.items() if path.startswith(above)}
        if self.web:
            names = {unquote(name): file for name, file in names.items()}
        endings = (*SUFFIXES, *also, *self._slides)
        wanted = {name: file for name, file in names.items() if Path(name).suffix.lower() in endings}
        if outside := [name for name in wanted if not stays_below(name)]:
            raise InputError(
                f"{self._name}: holds {outside[0]!r}, which has no place below a folder; give it another name there"
            )
        wanted = {name: file for name, file in wanted.items() if not any(p.startswith(".") for p in name.split("/"))}
        if not any(Path(name).suffix.lower() in (*SUFFIXES, *self._slides) for name in wanted):
            raise InputError(
                f"{self._name}: is not there, or holds no {READ} image; give the URL of a folder that does"
            )
        for file in [path for path in place.rglob("[!.]*") if tidy and path.is_file()]:
            if file.relative_to(place).as_posix() not in names:
                file.unlink(missing_ok=True)
        self.fetch({place / name: file for name, file in wanted.items()})

    def fetch(self, wanted: _Wanted) -> None:
        """Fetch files; one that isn't there is passed over, and removed from the cache."""
        from dorl.runtime.training import prefetch

        order = list(wanted.items())
        random.Random().shuffle(order)
        workers = WORKERS if self._driver.async_impl else 1
        for _ in track(
            prefetch(self._fetch_one, order, workers=workers, ahead=4 * workers),
            total=len(order),
            what="fetching files",
        ):
            pass

    def _fetch_one(self, item: tuple[Path, tuple[str, Mapping[str, Any]]]) -> None:
        file, (remote, info) = item
        with _told(shown(file), DorlError, "the same command goes on with what is left"):
            try:
                info = info if info.get("size") is not None else self._driver.info(remote)
                size, mark = info.get("size"), _mark(info)
                if size is not None and size > MAX_BYTES and file.suffix.lower() in SUFFIXES and not self._slides:
                    say(f"left out: {shown(file)}: over {MAX_BYTES // 2**20} MB")
                    file.unlink(missing_ok=True)
                elif not _is_there(file, size, mark):
                    self._download(remote, file, size, mark)
            except FileNotFoundError as error:
                self._raise_hidden(error)
                file.unlink(missing_ok=True)

    def _raise_hidden(self, error: FileNotFoundError) -> None:
        """Raise what made fsspec say that a file of the web isn't there, unless the server said so."""
        cause = error.__cause__
        known = cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410)
        if self.web and cause is not None and not known:
            raise cause

    def _download(self, remote: str, file: Path, size: int | None, mark: int | None) -> None:
        with atomic(file) as temporary:
            self._driver.get_file(remote, str(temporary))
            came = temporary.stat().st_size
            if size is not None and came != size:
                raise DorlError(f"{shown(file)}: {came} of {size} bytes came; the same command fetches it again")
            if mark is not None:
                os.utime(temporary, (mark, mark))


def _mark(info: Mapping[str, Any]) -> int | None:
    """A number, in even seconds, that changes with a file; None where nothing is known of it.

    A fetched file has it for its time of modification. So it needs no second file, which could be of another time.
    """
    size, tag = info.get("size"), next((info[name] for name in _TAGS if info.get(name)), None)
    return None if size is None and tag is None else 2 * (crc32(f"{size} {tag}".encode()) >> 2)


def _is_there(file: Path, size: int | None, mark: int | None) -> bool:
    try:
        found = file.stat()
    except OSError:
        return False
    return mark is not None and found.st_mtime == mark and size in (None, found.st_size)


def _driver(url: str, name: str) -> tuple[Any, str]:
    """Fsspec's file system for a URL, and what this calls the place of the URL."""
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise InputError(f"{name}: URLs are read with the package fsspec: pip install 'dorl[remote]'") from error
    scheme = scheme_of(url)
    if scheme not in fsspec.available_protocols():
        raise InputError(f"{name}: {scheme}:// isn't known; give a path, or a URL such as s3://, gs:// or https://")
    with _told(name, InputError, "check the URL"):
        try:
            return url_to_fs(scheme + url[len(scheme) :])
        except ImportError as error:  # fsspec's own words for what is missing
            raise InputError(
                f"{name}: {error}: pip install 'dorl[remote]' for https, and the named package for another store"
            ) from None


@contextmanager
def _told(name: str, kind: Callable[[str], DorlError], mend: str) -> Iterator[None]:
    """Faults of a driver become errors without its words, which may have a signed URL in them."""
    try:
        yield
    except DorlError:
        raise
    except Exception as error:  # each driver has kinds of its own
        if isinstance(error, OSError) and _is_of_disk(error):
            raise InputError(_disk(error)) from None
        raise kind(f"{name}: {_why(error)}; {mend}") from None


def _is_of_disk(error: OSError) -> bool:
    """Whether the cache, and not the store, is at fault."""
    return error.errno in _OF_DISK or str(error.filename or "").startswith(str(cache_folder()))


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403):
        return "may not be read with the credentials that the store's package finds"
    number = error.errno if isinstance(error, OSError) else None
    return f"can't be reached ({os.strerror(number) if number and number > 0 else type(error).__name__})"


def _disk(error: OSError) -> str:
    return f"{cache_folder()}: can't be written ({error.strerror}); name another folder in {CACHE_VARIABLE}"
