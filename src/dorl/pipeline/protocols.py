"""The protocol over the labs of a run: transductive as published, and on labs that were never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dorl.classification import CLASSIFIERS, VIEWS, LabFeatures, ProtocolResult, cross_lab
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.pipeline.autoencoders import trained
from dorl.pipeline.represent import Represented
from dorl.pipeline.runfolder import AUTOENCODER
from dorl.progress import say
from dorl.representation import encode_cells

#: protocol and the name of its rows in the tables
METHODS = {"transductive": "DoRL", "unseen": "DoRL (unseen lab)"}


def trainable(labs: Sequence[Domain]) -> list[str]:
    """Names of the labs that a classifier can be trained on: those with two classes or more."""
    return [lab.name for lab in labs if len(lab.classes) > 1]


def check_protocols(protocols: Sequence[str], labs: Sequence[Domain]) -> None:
    """Refuse, before any long work, unknown protocols and labs that they can't be run on."""
    for name in protocols:
        if name not in METHODS:
            raise InputError(f"protocol {name!r} is unknown: give {' or '.join(METHODS)}, or both")
    if not protocols:
        raise InputError(f"no protocol given: {' or '.join(METHODS)}")
    if not trainable(labs):
        raise InputError("no lab has labels of two classes or more: the protocol needs one to train on")
    if "unseen" in protocols and sum(len(lab.classes) > 0 for lab in labs) < 2:
        raise InputError("the protocol 'unseen' needs two labs with labels or more")


def run_protocols(made: Represented, *, device: str | None = None) -> ProtocolResult:
    """Every protocol that the run's config names, over all labs with labels.

    For "unseen", an autoencoder is trained per tested lab without any image of it, and kept below ``unseen/``.
    """
    names = [lab.name for lab in made.labs if len(lab.classes)]
    trains = trainable(made.labs)
    settings = made.config.classifiers
    common: dict[str, Any] = {
        "classifiers": list(CLASSIFIERS),
        "folds": settings.folds,
        "seed": made.config.seed,
        "explain": [settings.default],
    }
    parts = []
    if "transductive" in made.config.protocols:
        parts += _views(made, names, trains, common, "transductive", adapt=True)
        labs = lab_features(made, names, made.features)
        parts.append(cross_lab(labs, method=METHODS["transductive"], trains=trains, tests=names, **common))
    if "unseen" in made.config.protocols:
        parts += _views(made, names, trains, common, "unseen", own=False)
        parts += [_unseen(made, name, trains, common, device) for name in _unseen_labs(made)]
    result = ProtocolResult.concat(parts)
    single = [f"{name}: has a single class: tested on, not trained on." for name in names if name not in trains]
    result.notes[:0] = single
    return result


def follow_protocols(made: Represented, *, device: str | None = None) -> None:
    """What `run_protocols` needs of the processes beside the main one: their part of each autoencoder's training."""
    if "unseen" in made.config.protocols:
        for name in _unseen_labs(made):
            _unseen_features(made, name, device)


def _unseen_labs(made: Represented) -> list[str]:
    """Labs that another one can be trained for."""
    return [lab.name for lab in made.labs if len(lab.classes) and set(trainable(made.labs)) - {lab.name}]


def lab_features(made: Represented, names: Sequence[str], X: np.ndarray) -> dict[str, LabFeatures]:
    """Features (rows of X, a row a cell) and labels by lab."""
    labels = made.cells["label"].where(made.cells["label"].notna(), None).astype(object)
    found = {}
    for name in names:
        rows = (made.cells["domain"] == name).to_numpy()
        found[name] = LabFeatures(X[rows], labels[rows].to_numpy(), made.groups[rows])
    return found


def _views(
    made: Represented, names: Sequence[str], trains: Sequence[str], common: dict, protocol: str, **more: bool
) -> list[ProtocolResult]:
    """The classifier over views, where the run has one; views of a lab depend on no other lab."""
    if VIEWS not in made.config.classifiers.names:
        return []
    labels = made.cells["label"].where(made.cells["label"].notna(), None).to_numpy(object)
    rows = {name: np.flatnonzero(made.cells["domain"] == name) for name in names}
    labs = {name: LabFeatures(made.inputs(VIEWS, of), labels[of], made.groups[of]) for name, of in rows.items()}
    settings = {**common, "classifiers": [VIEWS], **more}
    return [cross_lab(labs, method=METHODS[protocol], trains=trains, tests=names, **settings)]


def _unseen_features(made: Represented, tested: str, device: str | None) -> np.ndarray:
    """Features s of all cells by an autoencoder that has seen none of the `tested` lab: float32 (N, D)."""
    others = (made.cells["domain"] != tested).to_numpy()
    others &= ~np.isin(made.groups, made.groups[~others])  # nor a copy of its cells in another lab
    folder = made.store.path.parent / "unseen" / tested
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{tested} as the unseen lab")
    model = trained(
        made.store,
        made.domain_index,
        made.config,
        folder / AUTOENCODER,
        members=others.nonzero()[0],
        device=device,
        what=f"training without {tested}",
    )
    return encode_cells(model, made.store)


def _unseen(made: Represented, tested: str, trains: Sequence[str], common: dict, device: str | None) -> ProtocolResult:
    labs = lab_features(made, [*trains, tested], _unseen_features(made, tested, device))
    sources = [name for name in trains if name != tested]
    return cross_lab(labs, method=METHODS["unseen"], trains=sources, tests=[tested], own=False, **common)
