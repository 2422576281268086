"""Images that a command is given: an image, a folder, a manifest, or several of them together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains import Domain, parse_lab, read_domain
from dorl.domains.annotations.reading import ENDINGS
from dorl.domains.fetching import fetch
from dorl.domains.images import probe_image
from dorl.domains.sources import FileSource
from dorl.domains.urls import is_url, shown
from dorl.errors import BadImageError, InputError
from dorl.names import text_of
from dorl.runtime.progress import say, track
from dorl.runtime.shards import Shard, in_batches
from dorl.runtime.training import prefetch
from dorl.words import counted

#: what `gather` takes
Given = str | Path | Domain | Sequence[str | Path]


def each_given(given: Given) -> list[str | Path | Domain]:
    """What was given, one by one."""
    return [given] if isinstance(given, (str, Path, Domain)) else list(given)


def place_of(given: str | Path) -> Path:
    """The path in ``name=path``, or in a path."""
    return Path(parse_lab(given)[1]) if isinstance(given, str) else given


def fetched(given: str | Path, slides: Collection[str] = ()) -> str | Path:
    """What was given, or what was fetched of its URL, with slides of these endings (`dorl.domains.fetching.fetch`)."""
    url = parse_lab(given)[1] if isinstance(given, str) else ""
    return fetch(url, slides=slides) if is_url(url) else given


def gather(given: Given, *, full: bool = False) -> Domain:
    """Read images as one lab, each once, in the order given.

    Parameters
    ----------
    given : str, Path, Domain, or several str or Path
        Each an image, a folder (searched below, too) or a manifest, as a path, a URL or ``name=path``.
    full : bool
        Paths as given, with their folders, as for several; those of one folder are relative to it otherwise. What was
        fetched has URLs.

    Returns
    -------
    Domain
        Of several, a file that is no usable image stands in `left_out`.

    Raises
    ------
    InputError
        If nothing is given, something isn't there, or there is no image at all.
    """
    each = each_given(given)
    if not each:
        raise InputError("no path given: give images, folders of images or manifests")
    if isinstance(each[0], Domain) or (len(each) == 1 and not full):
        return read_images(each[0])
    seen: dict[Path, tuple[str, str | None]] = {}
    left_out: list[tuple[str, str]] = []
    remarks: list[str] = []
    for one in each:
        assert not isinstance(one, Domain)
        one = fetched(one)
        try:
            lab = read_images(one)
        except InputError as error:
            if not isinstance(error.__cause__, BadImageError) or len(each) == 1:
                raise
            left_out.append((shown(one), error.__cause__.without(place_of(one))))
            continue
        if not isinstance(lab.source, FileSource):
            raise InputError(f"{shown(one)}: is one file of many images; give it alone")
        above = shown(lab.root.as_posix())
        above += "" if above.endswith("/") else "/"
        above = "" if above == "./" else above
        for i, (path, patient) in enumerate(zip(lab.table["path"], lab.table["patient"], strict=True)):
            seen.setdefault(lab.file(i).resolve(), (above + path, patient))
        remarks += [f"{shown(one)}: {remark}" if len(each) > 1 else remark for remark in lab.remarks]
        above = above if len(each) > 1 else ""
        left_out += [(above + path, reason) for path, reason in lab.left_out.itertuples(index=False, name=None)]
    if not seen:
        reason = f", the first since: {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise InputError(f"none of {counted(len(left_out), 'file')} can be used{reason}; give other images")
    table = pd.DataFrame(list(seen.values()), columns=["path", "patient"], dtype=object)
    reasons = pd.DataFrame(left_out, columns=["path", "reason"], dtype=object)
    return Domain("images", Path(), "flat", table, reasons, remarks=tuple(remarks))


def read_images(path: str | Path | Domain) -> Domain:
    """Read one image file, a manifest, or every image below a folder, whatever it says of classes and masks."""
    if isinstance(path, Domain):
        return path
    if not str(path).strip():
        raise InputError("no path given: give an image, a folder of images or a manifest")
    path = place_of(fetched(path))
    try:
        is_folder = path.is_dir()
        is_file = path.exists() and not is_folder  # or a pipe, which is no image
    except OSError as error:  # for example a name that is too long
        raise InputError(f"{path}: {error.strerror}; give an image, a folder of images or a manifest") from error
    if is_file and path.suffix.lower() not in (".csv", ".parquet", ".npz", *ENDINGS):
        try:
            probe_image(path)
        except BadImageError as error:
            raise InputError(f"{error}; give an image, a folder of images or a manifest") from error
        return Domain("images", path.parent, "flat", pd.DataFrame({"path": [text_of(path.name)]}))
    return read_domain(path, name="images", layout="flat" if is_folder else "auto", any_class=True)


def tell_left_out(lab: Domain) -> None:
    """A line for each file that was left out before any image was read, and for what was concluded."""
    for remark in lab.remarks:
        say(remark)
    for path, reason in lab.left_out.itertuples(index=False, name=None):
        say(f"left out: {path}: {reason}")


def decodable(lab: Domain) -> Domain:
    """The same lab without the images that can't be decoded; they move to `left_out`.

    Raises
    ------
    InputError
        If none can.
    """

    def problem(i: int) -> str | None:
        try:
            lab.load(i)
            lab.load_mask(i)
        except BadImageError as error:
            return lab.reason(i, error)
        return None

    reasons = list(track(prefetch(problem, range(len(lab))), total=len(lab), what=f"reading {lab.name}"))
    bad = [i for i, reason in enumerate(reasons) if reason is not None]
    if not bad:
        return lab
    if len(bad) == len(lab):
        raise InputError(f"{lab.root}: none of {counted(len(bad), 'image')} can be used, the first since: {reasons[0]}")
    more = pd.DataFrame({"path": lab.table["path"].iloc[bad], "reason": [reasons[i] for i in bad]})
    good = lab.take([i for i, reason in enumerate(reasons) if reason is None])
    return replace(good, left_out=pd.concat([lab.left_out, more], ignore_index=True))


def read_batches(
    lab: Domain, *, size: int = 32, what: str = "classifying", shard: Shard | None = None
) -> Iterator[list[tuple[str, np.ndarray | str]]]:
    """Paths and images, `size` at a time, each image as `Domain.read` gives it: the reason where it can't be read.

    A shard takes every n-th of these batches.
    """
    batches = in_batches(range(len(lab)), size)
    batches = batches if shard is None else list(shard.takes(batches))
    rows = [row for batch in batches for row in batch]
    loaded = track(prefetch(lab.read, rows, ahead=2 * size), total=len(rows), what=what)
    for batch in batches:
        found = []
        for row in batch:
            image, path = next(loaded), lab.table["path"].iat[row]
            if isinstance(image, str):
                say(f"left out: {path}: {image}")
            found.append((path, image))
        yield found
    next(loaded, None)  # the progress says its last word
