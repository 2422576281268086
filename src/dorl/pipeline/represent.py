"""The part of the road that fit and evaluate share: from labs to features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import dorl
from dorl.cells import CellStore
from dorl.classification import CLASSIFIERS
from dorl.domains import Domain, read_domains
from dorl.errors import InputError
from dorl.files import atomic
from dorl.pipeline.embedding import embed
from dorl.pipeline.presets import DEFAULT_CLASSIFIER, autoencoder_settings, shape_and_training
from dorl.pipeline.runfolder import (
    AUTOENCODER,
    CELLS,
    FEATURES,
    SEGMENTER,
    ClassifierSettings,
    LabConfig,
    RunConfig,
    SegmenterConfig,
    claim,
)
from dorl.progress import say
from dorl.representation import CrossDomainAutoencoder, encode_cells, train_autoencoder
from dorl.segmentation import Segmenter
from dorl.taxonomy import SharedLevel, shared_level

HISTORY = "history.csv"


def learnt_level(labels: Iterable[str]) -> SharedLevel:
    """The classes that a classifier of all `labels` learns: of an ancestor and its descendant, the ancestor."""
    names = sorted(set(labels))
    return shared_level(names, names)


@dataclass
class Represented:
    """Labs turned into features.

    Attributes
    ----------
    labs : list of Domain
    config : RunConfig
    store : CellStore
    cells : DataFrame of N rows
        The store's metadata; `domain` is the lab's name, `label` None where unknown.
    features : float32 array of shape (N, D)
    model : CrossDomainAutoencoder
    left_out : dict of str to list of (str, str)
        Per lab, path and reason of each image that was not used.
    """

    labs: list[Domain]
    config: RunConfig
    store: CellStore
    cells: pd.DataFrame
    features: np.ndarray
    model: CrossDomainAutoencoder
    left_out: dict[str, list[tuple[str, str]]]

    @property
    def domain_index(self) -> np.ndarray:
        """Number of each cell's lab, in the order given: int64 (N,)."""
        return domain_index(self.labs, self.cells)


def domain_index(labs: Sequence[Domain], cells: pd.DataFrame) -> np.ndarray:
    """Number of each cell's lab, in the order of `labs`."""
    numbers = {lab.name: number for number, lab in enumerate(labs)}
    return cells["domain"].map(numbers).to_numpy(np.int64)


def fingerprint(lab: Domain) -> str:
    """Changes with the lab's files, labels and masks."""
    text = lab.table.to_csv(index=False) + lab.layout
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_labels(labs: Sequence[Domain], folds: int, source: Sequence[str]) -> None:
    """Refuse, before any long work, labs that the protocol could not divide into folds, and unknown source labs."""
    for lab in labs:
        labelled = int(pd.notna(lab.labels).sum())
        if 0 < labelled < folds:
            raise InputError(
                f"{lab.name}: {labelled} labelled images are fewer than {folds} folds: give more images or fewer --folds"
            )
    names = [lab.name for lab in labs]
    for name in source:
        if name not in names:
            raise InputError(f"source {name!r} is no lab here: give one of {', '.join(names)}")


def represent(
    labs: Sequence[str | Domain],
    *,
    out: Path,
    kind: str,
    segmenter: str | Path,
    source: Sequence[str] | None = None,
    protocols: Sequence[str] = ("transductive",),
    folds: int = 5,
    preset: str = "auto",
    epochs: int | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Represented:
    """Read, claim the folder, embed, train the autoencoder, extract features; goes on where it was interrupted.

    The arguments are those of `dorl.fit` and `dorl.pipeline.evaluate`.
    """
    domains = read_domains(labs)
    if folds < 2:
        raise InputError(f"folds is {folds}: give 2 or more")
    labelled = [lab.name for lab in domains if len(lab.classes)]
    source = list(source) if source else labelled
    check_labels(domains, folds, source)
    labels = [label for lab in domains if lab.name in source for label in lab.classes]
    network = Segmenter.load(segmenter, device=device)
    config = RunConfig(
        kind=kind,  # type: ignore[arg-type]
        dorl=dorl.__version__,
        seed=seed,
        protocols=list(protocols),
        labs=[
            LabConfig(
                name=lab.name,
                path=str(lab.root),
                layout=lab.layout,
                images=len(lab),
                labelled=int(pd.notna(lab.labels).sum()),
                left_out=len(lab.left_out),
                fingerprint=fingerprint(lab),
            )
            for lab in domains
        ],
        segmenter=SegmenterConfig(
            name=str(segmenter),
            base=network.base,
            rank=network.rank,
            precision=str(network.dtype).removeprefix("torch."),
            digest=network.digest(),
        ),
        autoencoder=autoencoder_settings(network, preset, epochs=epochs, iterations=iterations),
        classifiers=ClassifierSettings(
            names=list(CLASSIFIERS) if len(learnt_level(labels).classes) > 1 else [],
            default=DEFAULT_CLASSIFIER,
            source=source,
            folds=folds,
        ),
    )
    claim(out, config)
    for lab in domains:
        say(f"{lab.name}: {len(lab)} images, {len(lab.classes)} classes, {len(lab.left_out)} left out")
    network.save(out / SEGMENTER)
    embedded = embed(
        domains,
        network,
        out / CELLS,
        source={"segmenter": config.segmenter.digest, "precision": config.segmenter.precision},
    )
    if not len(embedded.store):
        raise InputError("not one image could be read: give other images")
    cells = embedded.store.table
    model = autoencoder(
        embedded.store, domain_index(domains, cells), config, out / AUTOENCODER, device=device
    )
    features = encode_cells(model, embedded.store)
    write_features(out / FEATURES, features, cells)
    left_out = {lab.name: list(lab.left_out.itertuples(index=False, name=None)) for lab in domains}
    for key, reason in embedded.left_out:
        name, _, path = key.partition("/")
        left_out[name].append((path, reason))
    return Represented(domains, config, embedded.store, cells, features, model, left_out)


def autoencoder(
    store: CellStore,
    domain: np.ndarray,
    config: RunConfig,
    path: Path,
    *,
    members: np.ndarray | None = None,
    device: str | None = None,
    what: str = "training the autoencoder",
) -> CrossDomainAutoencoder:
    """Train an autoencoder, or load the one that an interrupted run had finished; its loss curve lies beside it."""
    if path.exists():
        return CrossDomainAutoencoder.load(path, device=device)
    shape, training = shape_and_training(config.autoencoder)
    model, history = train_autoencoder(
        store,
        domain,
        out=path,
        config=shape,
        settings=training,
        members=members,
        seed=config.seed,
        device=device,
        what=what,
    )
    with atomic(path.with_name(HISTORY)) as temporary:
        history.to_csv(temporary, index=False)
    return model


def write_features(path: Path, features: np.ndarray, cells: pd.DataFrame) -> None:
    """Write features as AnnData: X float32, obs path, domain, label, split, patient, cell_found."""
    import anndata

    obs = cells.set_index("key")[["path", "domain", "label", "split", "patient", "cell_found"]].copy()
    for name in ("domain", "label", "split", "patient"):
        obs[name] = pd.Categorical(obs[name].where(obs[name].notna(), None))
    with atomic(path) as temporary:
        anndata.AnnData(X=features, obs=obs).write_h5ad(temporary)
