"""The run folder: its config, what it must hold, and when a folder may be written into."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dorl.errors import InputError
from dorl.files import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: version of the run folder's layout
FORMAT = 1
CONFIG, SEGMENTER, AUTOENCODER = "config.toml", "segmenter.safetensors", "autoencoder.safetensors"
CELLS, FEATURES, CLASSIFIERS = "cells", "features.h5ad", "classifiers"
METRICS, REPORT, CARD = "metrics.json", "report.html", "README.md"


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
    """What segmented: the name it was asked for by, its base, and a digest of its weights."""

    name: str
    base: str
    rank: int
    precision: str
    digest: str


class AutoencoderSettings(_Part):
    """Shape and training of the autoencoder; `preset` says where the numbers come from."""

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
    epochs: int
    max_iterations: int = 0
    batch_size: int
    warmup: int
    learning_rate: float
    weight_decay: float


class ClassifierSettings(_Part):
    """Whose labels the classifiers learn from, and which of them predicts."""

    names: list[str]
    default: str
    source: list[str]
    folds: int


class RunConfig(_Part):
    """Every setting of a run."""

    format: int = FORMAT
    kind: Literal["run", "evaluation"]
    dorl: str
    seed: int
    protocols: list[str] = Field(default_factory=list)
    labs: list[LabConfig]
    segmenter: SegmenterConfig
    autoencoder: AutoencoderSettings
    classifiers: ClassifierSettings

    def to_toml(self) -> str:
        """As written to ``config.toml``."""
        return tomli_w.dumps(self.model_dump())


def read_config(folder: Path) -> RunConfig:
    """Read a folder's ``config.toml``.

    Raises
    ------
    InputError
        If there is none, or it is damaged or of another version.
    """
    path = folder / CONFIG
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


def claim(folder: Path, config: RunConfig) -> None:
    """Make `folder` this run's own, or go on with the unfinished run of the same settings that lies there.

    Raises
    ------
    InputError
        If the folder holds another run, a finished one, or anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder for --out")
    if not folder.exists() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CONFIG, config.to_toml())
        return
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: is not empty and holds no run of dorl; choose another folder for --out")
    existing = read_config(folder)
    if (folder / METRICS).exists():
        raise InputError(
            f"{folder}: holds a finished {existing.kind}; choose another folder for --out, or remove it"
        )
    if existing != config:
        fields = [name for name in RunConfig.model_fields if getattr(existing, name) != getattr(config, name)]
        raise InputError(
            f"{folder}: holds an unfinished {existing.kind} with other settings ({', '.join(fields)}); "
            "choose another folder for --out, or remove it"
        )


def check_complete(folder: Path) -> RunConfig:
    """Read the config of a finished run and make sure that all it needs is there."""
    config = read_config(folder)
    if config.kind != "run":
        raise InputError(
            f"{folder}: holds an {config.kind}, which has no classifiers; give one that dorl fit made"
        )
    needed = [
        SEGMENTER,
        AUTOENCODER,
        METRICS,
        *(f"{CLASSIFIERS}/{slug(n)}.skops" for n in config.classifiers.names),
    ]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder}: {', '.join(missing)} missing: run dorl fit again with the same --out, or restore it"
        )
    return config


def slug(classifier: str) -> str:
    """File name of a classifier: ``"SVM (poly)"`` is ``svm-poly``."""
    return "-".join("".join(c if c.isalnum() else " " for c in classifier.lower()).split())
