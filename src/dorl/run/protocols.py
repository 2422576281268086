"""The protocol over the labs of a run: transductive, on unseen labs, one lab left out of several, WBCBench 2026."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dorl.classification import CLASSIFIERS, LabFeatures, ProtocolResult, cross_lab
from dorl.classification.folds import check_split
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.representation import encode_cells
from dorl.run.autoencoders import shared_width, trained
from dorl.run.features import Represented, learnt_level, represented_without
from dorl.run.folder import AUTOENCODER, CELL
from dorl.run.wbcbench import NAME as WBCBENCH
from dorl.run.wbcbench import measured_parts
from dorl.runtime.progress import say

#: protocol and the name of its rows in the tables
METHODS = {
    "transductive": "DoRL",
    "unseen": "DoRL (unseen lab)",
    "left-out": "DoRL (one lab left out)",
    WBCBENCH: "DoRL (WBCBench 2026)",
}


def trainable(labs: Sequence[Domain]) -> list[str]:
    """Names of the labs that a classifier can be trained on: those with two classes or more."""
    return [lab.name for lab in labs if len(lab.classes) > 1]


def check_protocols(protocols: Sequence[str], labs: Sequence[Domain], *, split: bool = False) -> None:
    """Refuse, before any long work, unknown protocols and labs that they, or their own `split`, can't be run on."""
    for name in protocols:
        if name not in METHODS:
            raise InputError(f"protocol {name!r} is unknown: give {' or '.join(METHODS)}, or several of them")
    if not protocols:
        raise InputError(f"no protocol given: {' or '.join(METHODS)}")
    if not trainable(labs):
        raise InputError("no lab has labels of two classes or more: the protocol needs one to train on")
    if "unseen" in protocols and sum(len(lab.classes) > 0 for lab in labs) < 2:
        raise InputError("the protocol 'unseen' needs two labs with labels or more")
    if "left-out" in protocols and len(trainable(labs)) < 3:
        raise InputError("the protocol 'left-out' needs three labs with labels of two classes or more")
    for lab in labs if split and WBCBENCH not in protocols else ():
        if lab.name in trainable(labs):
            check_split(lab.name, lab.labels, lab.table["split"].to_numpy(object))


def run_protocols(represented: Represented, *, device: str | None = None) -> ProtocolResult:
    """Every protocol that the run's config names, over all labs with labels.

    For "unseen", an autoencoder is made per tested lab without any image of it, and kept below ``unseen/``.
    """
    names = [lab.name for lab in represented.labs if len(lab.classes)]
    trains = trainable(represented.labs)
    settings = represented.config.classifiers
    common: dict[str, Any] = {
        "classifiers": settings.names or list(CLASSIFIERS),
        "folds": settings.folds,
        "seed": represented.config.seed,
        "explain": [settings.default],
        "shared": shared_width(represented.model) if represented.config.method == CELL else 0,
        "sized": represented.config.method == CELL and represented.config.views.size,
        "split": settings.split,
    }
    parts = []
    if "transductive" in represented.config.protocols:
        labs = lab_features(represented, names)
        method = METHODS["transductive"]
        parts.append(cross_lab(labs, method=method, trains=trains, tests=names, adapt=True, **common))
    if "unseen" in represented.config.protocols:
        parts += [_unseen(represented, name, trains, common, device) for name in _unseen_labs(represented)]
    if "left-out" in represented.config.protocols:
        parts += [_left_out(represented, name, trains, common) for name in names]
    if WBCBENCH in represented.config.protocols:
        train, tests = represented.labs[0].name, measured_parts(represented)
        labs = lab_features(represented, [train, *tests])
        parts.append(
            # the parts are labs of their own already
            cross_lab(
                labs,
                method=METHODS[WBCBENCH],
                trains=[train],
                tests=tests,
                whole=True,
                adapt=True,
                **{**common, "split": False},
            )
        )
    result = ProtocolResult.concat(parts)
    if not len(result.results):
        raise InputError(
            "nothing could be tested: every labelled cell of the tested labs is a copy of one that is learnt; "
            "leave one of the labs out"
        )
    single = [f"{name}: has a single class: tested on, not trained on." for name in names if name not in trains]
    result.notes[:0] = single
    return result


def follow_protocols(represented: Represented, *, device: str | None = None) -> None:
    """What `run_protocols` needs of the processes beside the main one: their part of each autoencoder's training."""
    if "unseen" in represented.config.protocols:
        for name in _unseen_labs(represented):
            _without(represented, name, device)


def _unseen_labs(represented: Represented) -> list[str]:
    """Labs that another one can be trained for."""
    return [lab.name for lab in represented.labs if len(lab.classes) and set(trainable(represented.labs)) - {lab.name}]


def lab_features(represented: Represented, names: Sequence[str]) -> dict[str, LabFeatures]:
    """What classifiers take of each lab's cells, and their labels."""
    labels = represented.cells["label"].where(represented.cells["label"].notna(), None).to_numpy(object)
    splits = represented.cells["split"].where(represented.cells["split"].notna(), None).to_numpy(object)
    rows = {name: np.flatnonzero(represented.cells["domain"] == name) for name in names}
    return {
        name: LabFeatures(
            represented.inputs(of), labels[of], represented.groups[of], represented.patients[of], splits[of]
        )
        for name, of in rows.items()
    }


def _left_out(represented: Represented, tested: str, trains: Sequence[str], common: dict[str, Any]) -> ProtocolResult:
    """All other labs that can be trained on, learnt together at the classes that they share, and tested on one lab."""
    sources = [name for name in trains if name != tested]
    rows = np.flatnonzero(represented.cells["domain"].isin(sources) & represented.cells["label"].notna())
    labels = represented.cells["label"].to_numpy(object)[rows]
    splits = represented.cells["split"].where(represented.cells["split"].notna(), None).to_numpy(object)[rows]
    learnt = learnt_level(labels).project_all(labels)
    together = LabFeatures(
        represented.inputs(rows), learnt, represented.groups[rows], represented.patients[rows], splits
    )
    name = "+".join(sources)
    labs = {name: together, **lab_features(represented, [tested])}
    method = METHODS["left-out"]
    return cross_lab(labs, method=method, trains=[name], tests=[tested], own=False, adapt=True, **common)


def _without(represented: Represented, tested: str, device: str | None) -> Represented:
    """The same cells, represented by an autoencoder that has seen none of the `tested` lab."""
    folder = represented.store.path.parent / "unseen" / tested
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{tested} as the unseen lab")
    what = f"training without {tested}"
    if represented.config.method == CELL:
        return represented_without(represented, tested, folder, device=device, what=what)
    others = (represented.cells["domain"] != tested).to_numpy()
    others &= ~np.isin(represented.groups, represented.groups[~others])  # nor a copy of its cells in another lab
    members = np.flatnonzero(others)
    place = folder / AUTOENCODER
    model = trained(
        represented.store,
        represented.domain_index,
        represented.config,
        place,
        members=members,
        device=device,
        what=what,
    )
    return replace(represented, model=model, features=encode_cells(model, represented.store))


def _unseen(
    represented: Represented, tested: str, trains: Sequence[str], common: dict[str, Any], device: str | None
) -> ProtocolResult:
    labs = lab_features(_without(represented, tested, device), [*trains, tested])
    sources = [name for name in trains if name != tested]
    return cross_lab(labs, method=METHODS["unseen"], trains=sources, tests=[tested], own=False, **common)
