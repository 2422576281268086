"""What a file's place and name say of its class, in each layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dorl.domains.labels import class_of, uncertain
from dorl.taxonomy import (
    ACEVEDO_CODES,
    ACEVEDO_LEFT_OUT,
    MATEK_CODES,
    MATEK_LEFT_OUT,
    MLL23_CODES,
    is_a,
    parse_label,
)

_PREFIX = re.compile(r"([A-Z]+)_\d+")
#: share of a folder's images whose names must look like Acevedo-20's; and share that may contradict their folders
_ENOUGH, _ASTRAY = 0.8, 0.05

#: folders that MLL23 has and no other lab
_OF_MLL23 = {"lymphocyte_large_granular", "lymphocyte_neoplastic", "promyelocyte_atypical"}

_GUESSED = "classes are taken from the codes of the {}; give a manifest or folders of classes if they mean otherwise"

#: what a file says of its class: (label or None, what the lab calls it, reason to leave it out or None)
Labelled = tuple[str | None, str | None, str | None]


def recognise(root: Path, files: Sequence[str]) -> tuple[str, str | None]:
    """The layout of a folder, and a remark where names and folders contradict each other."""
    prefixes = [_acevedo_code(file) for file in files]
    known = sum(code in ACEVEDO_CODES or code in ACEVEDO_LEFT_OUT for code in prefixes)
    if root.name == "PBC_dataset_normal_DIB" or known >= _ENOUGH * len(files):
        astray = [file for file in files if _astray(file)]
        remark = None if root.name == "PBC_dataset_normal_DIB" else _GUESSED.format("file names, as in Acevedo-20")
        if astray:
            remark = (
                f"{len(astray)} file names look like Acevedo-20's codes for another class than their folder's "
                f"({astray[0]}): the folder is taken; move them out of the folder if the name is right"
            )
        if len(astray) <= _ASTRAY * known:
            return "acevedo", remark
        return "folders", remark
    if any(_is_matek(file) for file in files):
        return "matek", _GUESSED.format("folders, as in Matek-19")
    if {_folder(file) for file in files} >= _OF_MLL23:
        return "mll23", _GUESSED.format("folders, as in MLL23")
    if any(by_folder(file)[0] for file in files):
        return "folders", None
    return "flat", None


def labeller(layout: str, *, asked: bool) -> Callable[[str], Labelled]:
    """What gives a file's class. Codes alone count where their layout was `asked` for; else the folder's class wins."""
    return LABELLERS[layout][0 if asked else 1]


def has_class(file: str) -> bool:
    """Whether a file lies in a folder of a known class."""
    return by_folder(file)[0] is not None


def by_folder(file: str) -> Labelled:
    """The class of the nearest folder that is one: train/CLASS/patient/image.png."""
    for folder in reversed(Path(file).parts[:-1]):
        label = class_of(folder)
        if label not in (None, "cell"):
            return label, folder, None
        if uncertain(folder):
            return None, folder, f"folder {folder!r} is uncertain: name a class"
    folder = _folder(file)
    return None, folder, f"unknown class {folder!r}" if folder else "lies in no class's folder"


def _acevedo_code(file: str) -> str | None:
    match = _PREFIX.match(Path(file).name)
    return match[1] if match else None


def _folder(file: str) -> str:
    """Name of the folder that the file lies in; "" at the top."""
    return Path(file).parent.name


def _is_matek(file: str) -> bool:
    code = _folder(file)
    return (code in MATEK_CODES or code in MATEK_LEFT_OUT) and Path(file).name.startswith(f"{code}_")


def _astray(file: str) -> bool:
    """Whether the code in a file's name is of another class than its folder, and no finer one of the same."""
    code, (folder, _, _) = _acevedo_code(file), by_folder(file)
    if folder is None or code is None:
        return False
    if code in ACEVEDO_CODES:
        return not is_a(ACEVEDO_CODES[code], folder)
    return code in ACEVEDO_LEFT_OUT and parse_label(code) != folder


def _by_acevedo(file: str) -> Labelled:
    return _by_code(_acevedo_code(file), ACEVEDO_CODES, ACEVEDO_LEFT_OUT)


def _by_acevedo_or_folder(file: str) -> Labelled:
    code = _acevedo_code(file)
    known = code in ACEVEDO_CODES or code in ACEVEDO_LEFT_OUT
    folder = by_folder(file)
    return folder if folder[0] is not None and (not known or _astray(file)) else _by_acevedo(file)


def _by_matek(file: str) -> Labelled:
    return _by_code(_folder(file), MATEK_CODES, MATEK_LEFT_OUT)


def _by_matek_or_folder(file: str) -> Labelled:
    code = _by_matek(file)
    known = _folder(file) in MATEK_CODES or _folder(file) in MATEK_LEFT_OUT
    folder = by_folder(file)
    return code if known or folder[0] is None else folder


def _by_mll23(file: str) -> Labelled:
    folder = _folder(file)
    return (MLL23_CODES[folder], folder, None) if folder in MLL23_CODES else by_folder(file)


def _by_code(code: str | None, codes: dict[str, str], left_out: dict[str, str]) -> Labelled:
    if code in codes:
        return codes[code], code, None
    if code in left_out:
        return None, code, f"left out by the method: {code} ({left_out[code]})"
    return None, code, f"unknown class {code!r}" if code else "no class code in its name"


def _unlabelled(file: str) -> Labelled:
    return None, None, None


#: by layout, what gives a file's class: where the layout was asked for, and where it was recognised
LABELLERS: dict[str, tuple[Callable[[str], Labelled], Callable[[str], Labelled]]] = {
    "acevedo": (_by_acevedo, _by_acevedo_or_folder),
    "matek": (_by_matek, _by_matek_or_folder),
    "mll23": (_by_mll23, _by_mll23),
    "folders": (by_folder, by_folder),
    "flat": (_unlabelled, _unlabelled),
}
