"""What `dorl.fit` and `dorl.evaluate` are asked for, and the run's config that is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

import dorl
from dorl.cells.views import Views
from dorl.classification import CLASSIFIERS, VIEWS
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.names import text_of
from dorl.representation import CrossDomainAutoencoder
from dorl.run.autoencoders import AUTO
from dorl.run.folder import CELL, ClassifierSettings, LabConfig, RunConfig, SegmenterConfig, ViewsSettings
from dorl.run.mixes import DEFAULT, file_shares
from dorl.run.presets import DEFAULT_CLASSIFIER, settings_of
from dorl.segmentation import Segmenter


class FitSettings(BaseModel):
    """The settings of `dorl.fit` and `dorl.evaluate`, where they are explained; the labs and the folder aside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Sequence[str] | None = None
    protocols: Sequence[str] = ("transductive",)
    segmenter: str | Path = "tiny"
    encoder: str | Path | None = None
    autoencoder: str | Path | None = None
    method: str = AUTO
    views: bool = True
    classes: Sequence[str] = ()
    expect: str = DEFAULT
    folds: int = 5
    split: bool = False
    patient_from: str = ""
    preset: str = "auto"
    epochs: int | None = None
    iterations: int | None = None
    accumulate: int = 1
    seed: int = 0
    precision: str = "auto"
    device: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> FitSettings:
        """The settings among a function's arguments. Raises InputError where one is of another type."""
        try:
            return cls(**{name: value for name, value in arguments.items() if name in cls.model_fields})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{first['loc'][0]} is {first['input']!r}: {first['msg'].lower()}") from error

    def config(
        self,
        kind: Literal["run", "evaluation"],
        labs: Sequence[Domain],
        network: Segmenter,
        method: str,
        *,
        source: Sequence[str],
        classes: Sequence[str],
        classified: bool,
        start: CrossDomainAutoencoder | None,
        given: CrossDomainAutoencoder | None,
    ) -> RunConfig:
        """Every setting of a run, as ``config.toml`` has them.

        Parameters
        ----------
        kind : {"run", "evaluation"}
        labs : sequence of Domain
        network : Segmenter
        method : {"cell", "published"}
        source : sequence of str
            Labs whose labels are learnt.
        classes : sequence of str
            Nodes that labels are taken up to; none where they are learnt as they are.
        classified : bool
            Whether there are classes to tell apart.
        start, given : CrossDomainAutoencoder or None
            What the autoencoder goes on from, and the one that was trained elsewhere.
        """
        of_cells = method == CELL
        seen = Views(restained=Views.restained if self.views else 0)
        return RunConfig(
            kind=kind,
            dorl=dorl.__version__,
            seed=self.seed,
            protocols=list(self.protocols),
            labs=[_lab_config(lab) for lab in labs],
            segmenter=SegmenterConfig(
                name=text_of(str(self.segmenter)),
                base=network.base,
                encoder="" if self.encoder is None else text_of(str(self.encoder)),
                rank=network.rank,
                precision=network.precision,
                digest=network.digest(),
            ),
            method=method,  # type: ignore[arg-type]
            views=ViewsSettings(**asdict(seen), size=True) if of_cells else ViewsSettings(),
            autoencoder=settings_of(
                network,
                method,
                start,
                given,
                preset=self.preset,
                epochs=self.epochs,
                iterations=self.iterations,
                accumulate=self.accumulate,
            ),
            classifiers=ClassifierSettings(
                names=[*([VIEWS] if of_cells else []), *CLASSIFIERS] if classified else [],
                default=VIEWS if of_cells else DEFAULT_CLASSIFIER,
                source=list(source),
                classes=list(classes),
                folds=self.folds,
                split=self.split,
                expect=text_of(self.expect),
                shares=file_shares(self.expect),
            ),
        )


def _lab_config(lab: Domain) -> LabConfig:
    return LabConfig(
        name=lab.name,
        path=text_of(str(lab.root)),
        layout=lab.layout,
        images=len(lab),
        labelled=int(pd.notna(lab.labels).sum()),
        left_out=len(lab.left_out),
        fingerprint=fingerprint(lab),
    )


def fingerprint(lab: Domain) -> str:
    """Changes with the lab's images, labels and masks' names."""
    text = lab.table.to_csv(index=False) + lab.layout + " ".join(map(lab.source.digest, lab.table["path"]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
