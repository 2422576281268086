"""Labs that come as a table: a CSV or Parquet file that names images and what is known of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from dorl.domains.columns import read_table
from dorl.domains.domain import Domain
from dorl.domains.formats import SUFFIXES
from dorl.domains.labels import class_of, doubtful, wbcbench_codes
from dorl.errors import InputError
from dorl.names import file_of, find_below, leads_out, text_of, without_surrogates

MANIFEST_SUFFIXES = (".csv", ".parquet")
OPTIONAL = ("mask", "label", "patient", "split")
LEADS_OUT = "is a link that leads out of the manifest's folder: put the file itself there"


def read_manifest(path: Path, name: str, *, any_class: bool = False) -> Domain:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        With a column ``image``, and where known ``mask``, ``label``, ``patient`` and ``split``. Paths in it are
        relative to the manifest's folder and stay inside it.
    name : str
    any_class : bool
        Keep rows of an unknown class, as unlabelled, and rows whose mask is missing: for images that are to be looked
        at, whatever the table says of them.

    Returns
    -------
    Domain
        Rows whose image or mask is missing, and rows of an unknown class, stand in `left_out`; an empty label is
        kept as unlabelled.

    Raises
    ------
    InputError
        If the file can't be read, has no column ``image``, names an image twice, or a path leaves its folder.
    """
    table, remarks = read_table(path, any_class=any_class)
    if "image" not in table:
        if any(PurePosixPath(name).suffix.lower() in SUFFIXES for name in table.columns):
            raise InputError(f"{path}: has no line that names its columns: put one first, for example image,label")
        columns = ", ".join(table.columns) or "none"
        raise InputError(f"{path}: has no column 'image'; its columns are {columns}: rename that of the images' paths")
    table = table.reindex(columns=["image", *OPTIONAL])
    codes, note = wbcbench_codes(table["label"])
    remarks = [*remarks, *note]
    rows: list[dict[str, str | None]] = []
    left_out: list[tuple[str, str]] = []
    root = path.parent.resolve()
    for number, row in enumerate(table.to_dict("records"), start=1):
        values = {key: _text(value) for key, value in row.items()}
        if values["image"] is None:
            left_out.append((f"row {number}", "names no image"))
            continue
        image = _inside(str(row["image"]), root, path, number)
        mask = None if values["mask"] is None else _inside(str(row["mask"]), root, path, number)
        image_file, mask_file = root / file_of(image), None if mask is None else root / file_of(mask)
        raw = values["label"]
        label = None if raw is None else codes.get(raw) or class_of(raw)
        doubt = None if raw is None or label else doubtful(raw)
        if any_class:
            if mask_file is not None and not _is_file(mask_file):
                mask = mask_file = None
            label = None if label == "cell" else label
        if not _stays(image_file, root):
            left_out.append((image, LEADS_OUT))
        elif mask_file is not None and not _stays(mask_file, root):
            left_out.append((image, f"its mask {LEADS_OUT}"))
        elif not _is_file(image_file):
            left_out.append((image, "no such file"))
        elif mask_file is not None and not _is_file(mask_file):
            left_out.append((image, "its mask is missing"))
        elif raw is not None and label in (None, "cell") and not any_class:
            left_out.append((image, doubt or f"unknown class {raw!r}"))
        else:
            known = {"patient": values["patient"], "split": values["split"]}
            rows.append({"path": image, "label": label, "raw_label": raw, "mask": mask, **known})
    found = pd.DataFrame(rows, columns=["path", "label", "raw_label", "mask", "patient", "split"])
    twice = found["path"][found["path"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: names {twice.iloc[0]} more than once; give each image one row")
    if not rows and not left_out:
        raise InputError(f"{path}: has no row; give a row an image")
    return Domain(
        name, path.parent, "manifest", found, pd.DataFrame(left_out, columns=["path", "reason"]), remarks=tuple(remarks)
    )


def _text(value: object) -> str | None:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):  # type: ignore[call-overload]
        return None
    text = " ".join(str(value).split()) if not isinstance(value, str) else value.strip()
    return without_surrogates(text) or None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name longer than the file system allows
        return False


def _inside(text: str, root: Path, manifest: Path, number: int) -> str:
    """The path as text, POSIX, relative to the manifest's folder; refused where it leads out."""
    found = find_below(root, text)
    relative = PurePosixPath(text.strip().replace("\\", "/") if found is None else found).as_posix()
    if leads_out(relative):
        raise InputError(
            f"{manifest}: row {number}: {text!r} lies outside the manifest's folder; give paths relative to it"
        )
    return text_of(relative)


def _stays(path: Path, root: Path) -> bool:
    """Whether a path, links followed, lies in the manifest's folder."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links in a circle
        return False
    except ValueError:  # a name that no file can have, nor a link
        return True
