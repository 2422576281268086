"""The run folder: its config, what it must hold, and when a folder may be written into."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dorl.domains import Domain
from dorl.errors import InputError
from dorl.files import behind_links, is_stream, write_text
from dorl.runtime.kept import KEPT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: version of the run folder's layout
FORMAT = 1
CONFIG, SEGMENTER, AUTOENCODER = "config.toml", "segmenter.safetensors", "autoencoder.safetensors"
CELLS, FEATURES, CLASSIFIERS = "cells", "features.h5ad", "classifiers"
METRICS, REPORT, CARD = "metrics.json", "report.html", "README.md"
#: how unlike the cells learnt a cell is; runs of earlier versions lack it
UNLIKE = "unlike.safetensors"
HISTORY, DUPLICATES = "history.csv", "duplicates.csv"
#: folder of the pool, while the tuning of the autoencoder lasts
TUNING = "tuning"


#: layouts of one file, whose folder isn't searched for images
_ONE_FILE = ("manifest", "bloodmnist", "coco", "cvat", "labelstudio")

#: the cell at common references, s of several views of it; and the whole image, as published
CELL, PUBLISHED = "cell", "published"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LabConfig(_Part):
    """One lab as it was read; `fingerprint` changes with its files, labels and masks."""

    name: str
    path: str
    layout: str
    images: int
    labelled: int
    left_out: int
    fingerprint: str


class SegmenterConfig(_Part):
    """What segmented: the name it was asked for by, its base, whose tokens, and a digest of all weights."""

    name: str
    base: str
    encoder: str = ""
    rank: int
    precision: str
    digest: str


class ViewsSettings(_Part):
    """How many views of a cell were described, as it is and restained; none in runs without them.

    `size` says whether classifiers learn how large a cell is in its lab, too.
    """

    plain: int = 0
    restained: int = 0
    size: bool = False


class AutoencoderSettings(_Part):
    """Shape and training of the autoencoder; `preset` says where the numbers come from.

    One that was trained elsewhere has the preset ``"given"``, and the `digest` of its weights. `aligned` says whether
    what labs share was learnt from this run's labs.
    """

    preset: str
    width: int
    depth: int
    heads: int
    decoder_depth: int
    grid: int
    z_width: int
    mask_ratio: float
    image_channels: list[int]
    image_size: int
    token_scale: float = 1.0
    epochs: int
    max_iterations: int = 0
    batch_size: int
    warmup: int
    learning_rate: float
    weight_decay: float
    accumulate: int = 1
    normalise: bool = False
    digest: str = ""
    channels: int = 0
    seen: int = 112
    finer: list[int] = Field(default_factory=list)
    feature: str = "class token"
    aligned: bool = False


class ClassifierSettings(_Part):
    """Whose labels the classifiers learn from, at which classes (as the labs name them if none), and which predicts.

    With `split` the labs' own column ``split`` says what is tested, and `folds` isn't used by the protocol.
    `expect` is the mix of classes that other labs' cells are expected in, by the words of ``--expect`` or a file's
    path, and `shares` what that file said.
    """

    names: list[str]
    default: str
    source: list[str]
    classes: list[str] = Field(default_factory=list)
    folds: int
    split: bool = False
    expect: str = "blood"
    shares: dict[str, float] = Field(default_factory=dict)


class RunConfig(_Part):
    """Every setting of a run."""

    format: int = FORMAT
    kind: Literal["run", "evaluation"]
    dorl: str
    seed: int
    protocols: list[str] = Field(default_factory=list)
    labs: list[LabConfig]
    segmenter: SegmenterConfig
    method: Literal["cell", "published"] = "published"
    views: ViewsSettings = Field(default_factory=ViewsSettings)
    autoencoder: AutoencoderSettings
    classifiers: ClassifierSettings

    def to_toml(self) -> str:
        """As written to ``config.toml``."""
        return tomli_w.dumps(self.model_dump())


def read_record(path: Path, needed: set[str], *, missing: str) -> dict[str, Any]:
    """A JSON file of a run; InputError where it isn't there (`missing` says why), or lacks a part that is `needed`."""
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing: {missing}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged; restore it or fit again") from error
    if not isinstance(found, dict) or not needed <= found.keys():
        raise InputError(f"{path}: damaged (a part is missing); restore it or fit again")
    return found


def read_config(folder: Path) -> RunConfig:
    """Read a folder's ``config.toml``.

    Raises
    ------
    InputError
        If there is none, or it is damaged or of another version.
    """
    path = folder / CONFIG
    if folder.is_file():
        raise InputError(f"{folder}: is a file; give a folder that dorl fit made")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that dorl fit made")
    if not path.is_file():
        raise InputError(f"{folder}: no run folder ({CONFIG} is missing); give one that dorl fit made")
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged ({error}); restore it or fit again") from error
    if values.get("format") != FORMAT:
        raise InputError(
            f"{folder}: a run folder of version {values.get('format')}, this dorl reads {FORMAT}: "
            "fit again, or use the dorl that made it"
        )
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; restore it or fit again") from error


def check_folder(folder: Path) -> None:
    """Refuse, before any long work, a place where no folder can be made or written into."""
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: is a file; give a folder for --out")
        above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:  # for example a name that is too long
        raise InputError(f"{folder}: {error.strerror}; choose another place for --out") from error
    if not above.is_dir():
        raise InputError(f"{folder}: {above} is a file; choose another place for --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: nothing may be written to {above}; choose another place for --out")


def check_file(path: Path) -> None:
    """Refuse, before any long work, a place where no file can be written; a link's is that which it leads to."""
    if not is_stream(path):
        path = behind_links(path)
        check_folder(path.parent if path.exists() else path)


def make_folder(folder: Path) -> None:
    """Make a folder where there is none, or say why that can't be done."""
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: can't be made ({error.strerror}); choose another place for --out") from error


def refuse_run(folder: Path) -> None:
    """Refuse to put anything else into a run folder."""
    if (folder / CONFIG).exists():
        raise InputError(f"{folder}: holds a run of dorl; choose another folder for --out")


def otherwise(note: Path, source: Mapping[str, Any], *, remove: str) -> list[str]:
    """Names of what a folder's note, a JSON object, says otherwise than `source`; `remove` mends a damaged one."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{note}: damaged; remove {remove}, or choose another folder for --out") from error
    return [name for name in source if not isinstance(known, dict) or known.get(name) != source[name]]


def refuse_among_images(folder: Path, given: str | Path | Domain | Iterable[object], labs: Iterable[Domain]) -> None:
    """Refuse a place below a folder that is searched for images: what is written there would be taken for some.

    `labs` are what was read of those `given`, in the same order; those given as a `Domain` aren't searched again.
    """
    each = [given] if isinstance(given, (str, Path, Domain)) else given
    for one, lab in zip(each, labs, strict=True):
        searched = not isinstance(one, Domain) and lab.layout not in _ONE_FILE
        if searched and folder.resolve().is_relative_to(lab.root.resolve()):
            raise InputError(
                f"{folder}: lies among the images of {lab.name}, and what is written there would be taken for some; "
                "choose another folder for --out"
            )


def refuse_written(paths: Iterable[Path], option: str) -> None:
    """Refuse to write over a file; `option` names the folder."""
    for path in paths:
        if path.exists():
            raise InputError(f"{path}: is there already; choose another folder for {option}")


def claim(folder: Path, config: RunConfig) -> bool:
    """Make `folder` this run's own, or go on with the unfinished run of the same settings that lies there.

    Returns
    -------
    bool
        Whether the run is new; `release` undoes that.

    Raises
    ------
    InputError
        If the folder holds another run, a finished one, or anything else.
    """
    check_folder(folder)
    if not folder.exists() or not any(folder.iterdir()):
        make_folder(folder)
        write_text(folder / CONFIG, config.to_toml())
        return True
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: is not empty and holds no run of dorl; choose another folder for --out")
    existing = read_config(folder)
    if (folder / METRICS).exists():
        raise InputError(f"{folder}: holds a finished {existing.kind}; choose another folder for --out, or remove it")
    if existing != config:
        fields = [name for name in RunConfig.model_fields if getattr(existing, name) != getattr(config, name)]
        raise InputError(
            f"{folder}: holds an unfinished {existing.kind} with other settings ({', '.join(fields)}); "
            "choose another folder for --out, or remove it"
        )
    return False


def release(folder: Path) -> None:
    """Give back a folder whose new run turned out to have wrong input, so that the next try may take it."""
    for name in (CELLS, TUNING, KEPT):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (SEGMENTER, AUTOENCODER, HISTORY, DUPLICATES, CONFIG):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def check_complete(folder: Path) -> RunConfig:
    """Read the config of a finished run and make sure that all it needs is there."""
    config = read_config(folder)
    if config.kind != "run":
        raise InputError(f"{folder}: holds an {config.kind}, which has no classifiers; give one that dorl fit made")
    needed = [
        SEGMENTER,
        AUTOENCODER,
        METRICS,
        *(f"{CLASSIFIERS}/{slug(n)}.skops" for n in config.classifiers.names),
    ]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        # a folder with metrics.json counts as finished, and dorl fit would not go on in it
        mend = "fit again with the same --out" if METRICS in missing else "restore it, or fit anew into another folder"
        raise InputError(f"{folder}: {', '.join(missing)} missing: {mend}")
    return config


def slug(classifier: str) -> str:
    """File name of a classifier: ``"SVM (poly)"`` is ``svm-poly``."""
    return "-".join("".join(c if c.isalnum() else " " for c in classifier.lower()).split())
