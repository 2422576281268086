"""Recognising how a lab's images lie on disk, and reading them into a `Domain`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from dorl.domains.annotations import ANNOTATIONS, read_annotated
from dorl.domains.annotations.reading import ENDINGS, OF_FOLDERS, holds_annotations
from dorl.domains.beside import without_masks
from dorl.domains.bloodmnist import is_bloodmnist, read_bloodmnist
from dorl.domains.columns import names_images
from dorl.domains.domain import Domain, is_name
from dorl.domains.fetching import fetch
from dorl.domains.formats import READ
from dorl.domains.layouts import LABELLERS, has_class, labeller, recognise
from dorl.domains.listing import image_files
from dorl.domains.manifest import MANIFEST_SUFFIXES, read_manifest
from dorl.domains.masks import conclude
from dorl.domains.patients import with_patients
from dorl.domains.sources import FileSource
from dorl.domains.urls import is_url
from dorl.domains.wbcbench import LAYOUT as WBCBENCH
from dorl.domains.wbcbench import is_wbcbench, read_wbcbench
from dorl.errors import BadImageError, InputError
from dorl.names import composed, text_of
from dorl.runtime.progress import say
from dorl.words import counted


def parse_lab(text: str) -> tuple[str | None, str]:
    """Split ``name=path`` into name and path; the name is None where only a path is given.

    A path that exists as it is wins, so that a folder with ``=`` in its name can be given. ``~`` stands for the home
    folder, behind the name, too, where the shell leaves it as it is.
    """
    name, sign, path = text.partition("=")
    if _exists(Path(text)) or not sign or "/" in name or os.sep in name:
        return None, at_home(text)
    return composed(name), at_home(path)


def at_home(path: str) -> str:
    """A path whose leading ``~`` is the home folder, unless a file or folder has that very name."""
    if not path.startswith("~") or _exists(Path(path)):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # no such user
        return path


def read_domains(
    labs: Iterable[str | Path | Domain],
    *,
    mask_value: Sequence[float] = (),
    patient_from: str = "",
    tell: bool = True,
) -> list[Domain]:
    """Read several labs.

    Parameters
    ----------
    labs : iterable of str, Path or Domain
        Each ``name=path``, a path, or a lab that was read already.
    mask_value : sequence of float
        As for `read_domain`.
    patient_from : str
        As for `dorl.domains.patients.with_patients`.
    tell : bool
        Say each lab's remarks.

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
            lab = read_domain(path, name=name, mask_value=mask_value)
            for remark in lab.remarks if tell else ():
                say(f"{lab.name}: {remark}")
        found.append(lab)
    for name, count in Counter(lab.name for lab in found).items():
        if count > 1:
            raise InputError(f"{count} labs are named {name!r}: give each a name of its own, name=path")
    return with_patients(found, patient_from)


def read_domain(
    path: str | Path,
    name: str | None = None,
    layout: str = "auto",
    *,
    any_class: bool = False,
    mask_value: Sequence[float] = (),
) -> Domain:
    """Read one lab.

    Parameters
    ----------
    path : str or Path
        A folder, a CSV or Parquet manifest, a file of annotations (COCO, CVAT, Label Studio, labelme or QuPath), a
        ``bloodmnist*.npz`` file, or the word ``bloodmnist``. Or, as text, the URL of such a folder or
        file, for example ``s3://bucket/lab``: what lies there is fetched first (`dorl.domains.fetching.fetch`).
    name : str, optional
        By default the folder's name; a manifest's folder's.
    layout : str
        ``"auto"``, ``"manifest"``, ``"bloodmnist"``, ``"wbcbench"``, one of `LABELLERS` or of `ANNOTATIONS`. ``auto``
        recognises annotations by what stands in the file, and a folder of labelme's or QuPath's by such files beside
        half of the images; Acevedo-20 by its file names, Matek-19 and MLL23 by their folders, WBCBench 2026 by its
        tables, and a folder per class by a folder named as a known class. It reads any other folder without labels. A
        class's folder wins over a code in a file's name, unless the code is a finer class of the same or its layout
        was asked for.
    any_class : bool
        Keep a manifest's rows of an unknown class, as unlabelled, and those whose mask is missing: for images that
        are to be looked at. What the masks mean isn't concluded.
    mask_value : sequence of float
        Values of the cell in the masks. `dorl.domains.masks.read_mask` says how they are concluded by default.

    Returns
    -------
    Domain
        Images in the order of their paths. Those of unknown classes and those whose header can't be read stand in
        `left_out`, with the reason; so do files that aren't read. What was concluded stands in `remarks`.

    Raises
    ------
    InputError
        If the path is not there, holds no image, or nothing that can be used; or the manifest or layout is wrong.
    """
    known = ("auto", *LABELLERS, *ANNOTATIONS, "manifest", "bloodmnist", WBCBENCH)
    if layout not in known:
        raise InputError(f"layout {layout!r} is unknown: give one of {', '.join(known)}")
    name = None if name is None else composed(name)
    if name is not None and not is_name(name):
        raise InputError(f"{name!r} can't name a lab; use letters, digits, '.', '_' and '-'")
    if layout == "bloodmnist" or (layout == "auto" and is_bloodmnist(path)):
        return read_bloodmnist(path, name or "bloodmnist")
    if not str(path).strip():
        raise InputError("no path given: give name=path, or a path")
    path = fetch(path) if isinstance(path, str) and is_url(path) else Path(path)
    if not _exists(path):
        raise InputError(f"{path}: no such file or folder; give name=path, or a path, of what is there")
    if path.is_file() and path.suffix.lower() in ENDINGS and layout in ("auto", *ANNOTATIONS):
        return read_annotated(path, name or _default_name(path.parent), layout, any_class=any_class)
    if path.is_file():
        if path.suffix.lower() not in MANIFEST_SUFFIXES or layout not in ("auto", "manifest"):
            raise InputError(f"{path}: is a file; give a folder, a .csv or .parquet manifest, or annotations")
        lab = read_manifest(path, name or _default_name(path.parent), any_class=any_class)
        return _checked(lab, path, mask_value, conclude_masks=not any_class)
    if layout == "manifest":
        raise InputError(f"{path}: is a folder; give the .csv or .parquet manifest itself")
    if layout == WBCBENCH or (layout == "auto" and is_wbcbench(path)):
        return _checked(read_wbcbench(path, name or _default_name(path)), path, mask_value)
    if layout in OF_FOLDERS:
        return read_annotated(path, name or _default_name(path), layout, any_class=any_class)
    if layout in ANNOTATIONS:
        raise InputError(f"{path}: is a folder; give the annotation file itself")
    files, passed = image_files(path, has_class)
    if layout == "auto" and files and holds_annotations(path, len(files)):
        return read_annotated(path, name or _default_name(path), any_class=any_class)
    if not files:
        also = f" ({text_of(passed[0][0])}: {passed[0][1]})" if passed else ""
        raise InputError(f"{path}: holds no {READ} image{also}; give a folder that does")
    lab = _read_folder(path, name or _default_name(path), layout, files, passed)
    return _checked(lab, path, mask_value, conclude_masks=not any_class)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL
        return False


def _default_name(folder: Path) -> str:
    """The folder's name with what can't stand in a lab's name replaced."""
    text = re.sub(r"[^\w.-]+", "-", composed(folder.resolve().name)).strip("-._")
    return text if is_name(text) else "lab"


def _read_folder(
    root: Path, name: str, layout: str, files: Sequence[str], passed: Sequence[tuple[str, str]] = ()
) -> Domain:
    paired = without_masks(files, lambda file: root / file)
    paths = [text_of(file) for file in paired.images]
    found, contradiction = recognise(root, paths) if layout == "auto" else (layout, None)
    label_of = labeller(found, asked=layout != "auto")
    rows, left_out = [], [(text_of(file), reason) for file, reason in (*passed, *paired.left_out)]
    masks = {text_of(file): text_of(mask) for file, mask in paired.masks.items()}
    for path in paths:
        label, raw, reason = label_of(path)
        if reason:
            left_out.append((path, reason))
        else:
            rows.append({"path": path, "label": label, "raw_label": raw, "mask": masks.get(path)})
    table = pd.DataFrame(rows, columns=["path", "label", "raw_label", "mask"])
    remarks = [remark for remark in (contradiction, paired.remark(), _manifests(root, layout)) if remark]
    return Domain(name, root, found, table, pd.DataFrame(left_out, columns=["path", "reason"]), remarks=tuple(remarks))


def _manifests(root: Path, layout: str) -> str | None:
    """A remark on a manifest that lies in the folder and isn't read."""
    found = [path.name for path in sorted(root.glob("*.csv")) if layout == "auto" and names_images(path)]
    if not found:
        return None
    return f"{text_of(found[0])} lists images and isn't read with the folder: give the file itself to use it"


def _checked(lab: Domain, given: Path, mask_value: Sequence[float] = (), *, conclude_masks: bool = True) -> Domain:
    """Leave out the images whose header can't be read; refuse a lab, by the path given, of which nothing remains.

    Finds out what the masks mean, too.
    """
    source = lab.source
    assert isinstance(source, FileSource)
    reasons: list[str | None] = []
    for file in lab.table["path"]:
        try:
            source.size(file)
            reasons.append(None)
        except BadImageError as error:
            reasons.append(error.without(source.file(file)))
    bad = [i for i, reason in enumerate(reasons) if reason is not None]
    more = pd.DataFrame({"path": lab.table["path"].iloc[bad], "reason": [reasons[i] for i in bad]})
    left_out = pd.concat([lab.left_out, more], ignore_index=True) if bad else lab.left_out
    kept = lab.table.drop(index=bad)
    if kept.empty:
        common = left_out["reason"].value_counts().index[0]
        raise InputError(f"{given}: none of {counted(len(left_out), 'image')} can be used, most since: {common}")
    remarks = list(lab.remarks)
    if conclude_masks:
        masks = [source.file(mask) for mask in dict.fromkeys(kept["mask"].dropna())]
        source.meaning, remark = conclude(masks, tuple(map(float, mask_value)))
        remarks += [remark] if remark else []
    return Domain(lab.name, lab.root, lab.layout, kept, left_out, source, tuple(remarks))
