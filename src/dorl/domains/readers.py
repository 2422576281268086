"""Recognising how a lab's images lie on disk, and reading them into a `Domain`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from dorl.domains.bloodmnist import is_bloodmnist, read_bloodmnist
from dorl.domains.domain import Domain, is_name
from dorl.domains.formats import READ, SUFFIXES
from dorl.domains.manifest import MANIFEST_SUFFIXES, read_manifest
from dorl.domains.sources import FileSource
from dorl.errors import BadImageError, InputError
from dorl.taxonomy import (
    ACEVEDO_CODES,
    ACEVEDO_LEFT_OUT,
    MATEK_CODES,
    MATEK_LEFT_OUT,
    parse_label,
)

LAYOUTS = ("auto", "acevedo", "matek", "folders", "flat", "manifest", "bloodmnist")

_PREFIX = re.compile(r"([A-Z]+)_\d+")
#: share of a folder's images whose names must look like Acevedo-20's
_ENOUGH = 0.8

#: what a file says of its class: (label or None, what the lab calls it, reason to leave it out or None)
Labelled = tuple[str | None, str | None, str | None]


def parse_lab(text: str) -> tuple[str | None, str]:
    """Split ``name=path`` into name and path; the name is None where only a path is given.

    A path that exists as it is wins, so that a folder with ``=`` in its name can be given.
    """
    name, sign, path = text.partition("=")
    if not sign or _exists(Path(text)):
        return None, text
    return name, path


def read_domains(labs: Iterable[str | Path | Domain]) -> list[Domain]:
    """Read several labs.

    Parameters
    ----------
    labs : iterable of str, Path or Domain
        Each ``name=path``, a path, or a lab that was read already.

    Raises
    ------
    InputError
        As `read_domain`; and where none is given, or two labs have one name.
    """
    labs = [labs] if isinstance(labs, (str, Path, Domain)) else list(labs)
    if not labs:
        raise InputError("no lab given: give name=path, or a path")
    found = []
    for lab in labs:
        if not isinstance(lab, Domain):
            name, path = parse_lab(str(lab))
            lab = read_domain(path, name=name)
        found.append(lab)
    for name, count in Counter(lab.name for lab in found).items():
        if count > 1:
            raise InputError(f"{count} labs are named {name!r}: give each a name of its own, name=path")
    return found


def read_domain(path: str | Path, name: str | None = None, layout: str = "auto", *, any_class: bool = False) -> Domain:
    """Read one lab.

    Parameters
    ----------
    path : str or Path
        A folder, a CSV or Parquet manifest, a ``bloodmnist*.npz`` file, or the word ``bloodmnist``.
    name : str, optional
        By default the folder's name; a manifest's folder's.
    layout : str
        One of `LAYOUTS`. ``auto`` recognises Acevedo-20 by its file names, Matek-19 by its folders' codes, a folder
        per class where a folder's name is a known class, and else reads a folder without labels.
    any_class : bool
        Keep a manifest's rows of an unknown class, as unlabelled, and those whose mask is missing.

    Returns
    -------
    Domain
        Images in the order of their paths. Those of unknown classes and those whose header can't be read stand in
        `left_out`, with the reason.

    Raises
    ------
    InputError
        If the path is not there, holds no image, or nothing that can be used; or the manifest or layout is wrong.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is unknown: give one of {', '.join(LAYOUTS)}")
    if name is not None and not is_name(name):
        raise InputError(f"{name!r} can't name a lab; use letters, digits, '.', '_' and '-'")
    if layout == "bloodmnist" or (layout == "auto" and is_bloodmnist(path)):
        return read_bloodmnist(path, name or "bloodmnist")
    if not str(path).strip():
        raise InputError("no path given: give name=path, or a path")
    path = Path(path)
    if not _exists(path):
        raise InputError(f"{path}: no such file or folder; give name=path, or a path, of what is there")
    if path.is_file():
        if path.suffix.lower() not in MANIFEST_SUFFIXES or layout not in ("auto", "manifest"):
            raise InputError(f"{path}: is a file; give a folder, or a .csv or .parquet manifest")
        return _checked(read_manifest(path, name or _default_name(path.parent), any_class=any_class), path)
    if layout == "manifest":
        raise InputError(f"{path}: is a folder; give the .csv or .parquet manifest itself")
    files, passed = _image_files(path)
    if not files:
        also = f" ({passed[0][0]}: {passed[0][1]})" if passed else ""
        raise InputError(f"{path}: holds no {READ} image{also}; give a folder that does")
    layout = _recognise(path, files) if layout == "auto" else layout
    return _checked(_read_folder(path, name or _default_name(path), layout, files, passed), path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL
        return False


def _default_name(folder: Path) -> str:
    """The folder's name with what can't stand in a lab's name replaced."""
    text = re.sub(r"[^\w.-]+", "-", folder.resolve().name).strip("-._")
    return text if is_name(text) else "lab"


def _image_files(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """POSIX paths, relative to `root`, of every image file below it, and the folders that weren't looked into, and why.

    Hidden files and folders are passed over in silence. Links to folders aren't followed: what they lead to may hold
    this folder, or be nobody's to read.
    """
    found: list[str] = []
    passed: list[tuple[str, str]] = []

    def relative(place: str | Path) -> str:
        return Path(place).relative_to(root).as_posix()

    def failed(error: OSError) -> None:
        passed.append((relative(error.filename), f"can't be looked into ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=failed):
        folders[:] = [one for one in folders if not one.startswith(".")]
        for one in folders:
            if (Path(folder) / one).is_symlink():
                passed.append((relative(Path(folder) / one), "is a link to a folder: put the folder itself there"))
        for file in names:
            if not file.startswith(".") and Path(file).suffix.lower() in SUFFIXES:
                found.append(relative(Path(folder) / file))
    return sorted(found), sorted(passed)


def _recognise(root: Path, files: Sequence[str]) -> str:
    prefixes = [_acevedo_code(file) for file in files]
    known = sum(code in ACEVEDO_CODES or code in ACEVEDO_LEFT_OUT for code in prefixes)
    if root.name == "PBC_dataset_normal_DIB" or known >= _ENOUGH * len(files):
        return "acevedo"
    if any(_is_matek(file) for file in files):
        return "matek"
    if any(_by_folder(file)[0] for file in files):
        return "folders"
    return "flat"


def _acevedo_code(file: str) -> str | None:
    match = _PREFIX.match(Path(file).name)
    return match[1] if match else None


def _folder(file: str) -> str:
    """Name of the folder that the file lies in; "" at the top."""
    return Path(file).parent.name


def _is_matek(file: str) -> bool:
    code = _folder(file)
    return (code in MATEK_CODES or code in MATEK_LEFT_OUT) and Path(file).name.startswith(f"{code}_")


def _by_acevedo(file: str) -> Labelled:
    code = _acevedo_code(file)
    return _by_code(code, ACEVEDO_CODES, ACEVEDO_LEFT_OUT)


def _by_matek(file: str) -> Labelled:
    return _by_code(_folder(file), MATEK_CODES, MATEK_LEFT_OUT)


def _by_code(code: str | None, codes: dict[str, str], left_out: dict[str, str]) -> Labelled:
    if code in codes:
        return codes[code], code, None
    if code in left_out:
        return None, code, f"left out by the method: {code} ({left_out[code]})"
    return None, code, f"unknown class {code!r}" if code else "no class code in its name"


def _by_folder(file: str) -> Labelled:
    for folder in reversed(Path(file).parts[:-1]):  # the nearest that is a class: train/CLASS/patient/image.png
        label = parse_label(folder)
        if label:
            return label, folder, None
    folder = _folder(file)
    return None, folder, f"unknown class {folder!r}" if folder else "lies in no class's folder"


def _unlabelled(file: str) -> Labelled:
    return None, None, None


_LABELLERS: dict[str, Callable[[str], Labelled]] = {
    "acevedo": _by_acevedo,
    "matek": _by_matek,
    "folders": _by_folder,
    "flat": _unlabelled,
}


def _printable(file: str) -> str:
    return file.encode("utf-8", "backslashreplace").decode()


def _read_folder(
    root: Path, name: str, layout: str, files: Sequence[str], passed: Sequence[tuple[str, str]] = ()
) -> Domain:
    labeller = _LABELLERS[layout]
    rows, left_out = [], [(_printable(folder), reason) for folder, reason in passed]
    for file in files:
        label, raw, reason = labeller(file)
        printable = _printable(file)
        if printable != file:
            reason = "its name is not UTF-8: rename it"
        if reason:
            left_out.append((printable, reason))
        else:
            rows.append({"path": file, "label": label, "raw_label": raw})
    table = pd.DataFrame(rows, columns=["path", "label", "raw_label"])
    return Domain(name, root, layout, table, pd.DataFrame(left_out, columns=["path", "reason"]))


def _checked(lab: Domain, given: Path) -> Domain:
    """Leave out the images whose header can't be read; refuse a lab, by the path given, of which nothing remains."""
    source = lab.source
    assert isinstance(source, FileSource)
    reasons: list[str | None] = []
    for file in lab.table["path"]:
        try:
            source.size(file)
            reasons.append(None)
        except BadImageError as error:
            reasons.append(error.without(source.root / file))
    bad = [i for i, reason in enumerate(reasons) if reason is not None]
    more = pd.DataFrame({"path": lab.table["path"].iloc[bad], "reason": [reasons[i] for i in bad]})
    left_out = pd.concat([lab.left_out, more], ignore_index=True) if bad else lab.left_out
    kept = lab.table.drop(index=bad)
    if kept.empty:
        common = left_out["reason"].value_counts().index[0]
        raise InputError(f"{given}: none of {len(left_out)} images can be used, most since: {common}")
    return Domain(lab.name, lab.root, lab.layout, kept, left_out, source)
