"""The part of the road that fit and evaluate share: from labs to features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from dorl.cells import CellStore
from dorl.cells.rows import StoredRows, plain_means
from dorl.cells.size import relative
from dorl.cells.views import Views
from dorl.classification import make_classifier
from dorl.domains import Domain, read_domains
from dorl.errors import InputError
from dorl.files import atomic
from dorl.representation import CrossDomainAutoencoder, encode_cells
from dorl.representation.features import SeenCells
from dorl.run.autoencoders import (
    align_labs,
    bundled,
    chosen_method,
    load_autoencoder,
    shared_width,
    trained,
    tuned,
)
from dorl.run.classes import at_level, check_classes
from dorl.run.copies import find_copies_in, group_numbers, no_copies, read_copies
from dorl.run.embedding import Embedded, embed, look_at, prepared
from dorl.run.folder import (
    AUTOENCODER,
    CELL,
    CELLS,
    PUBLISHED,
    SEGMENTER,
    RunConfig,
    ViewsSettings,
    check_folder,
    claim,
    refuse_among_images,
    release,
)
from dorl.run.presets import check_seed
from dorl.run.settings import FitSettings
from dorl.runtime.memory import give_back_memory
from dorl.runtime.processes import in_turn, is_main
from dorl.runtime.progress import say
from dorl.segmentation import Segmenter
from dorl.taxonomy import SharedLevel, shared_level
from dorl.words import counted

#: of ``features.h5ad``: each cell's place in the plane
PLACED = "X_umap"


def learnt_level(labels: Iterable[str]) -> SharedLevel:
    """The classes that a classifier of all `labels` learns: of an ancestor and its descendant, the ancestor."""
    names = sorted(set(labels))
    return shared_level(names, names)


def sizes_of_views(sizes: np.ndarray, views: ViewsSettings) -> np.ndarray:
    """Relative sizes of cells (N,) as classifiers learn them: (N, V), 0 in the later half of the restained views.

    So they learn what a cell is without its size, too, as where too few cells are asked about to know what is usual.
    """
    found = np.repeat(sizes[:, None], views.plain + views.restained, 1)
    found[:, views.plain + (views.restained + 1) // 2 :] = 0
    return found


@dataclass
class Represented:
    """Labs turned into features.

    Attributes
    ----------
    labs : list of Domain
        Without the images that could not be read.
    config : RunConfig
    store : CellStore
    cells : DataFrame of N rows
        The store's metadata; `domain` is the lab's name, `label` None where unknown.
    features : float32 array of shape (N, D)
    model : CrossDomainAutoencoder
    left_out : dict of str to list of (str, str)
        Per lab, path and reason of each image that was not used.
    network : Segmenter
    start : CrossDomainAutoencoder or None
        What the autoencoder was tuned from.
    copies : DataFrame
        Pairs of images that show the same, as of `dorl.run.copies.find_copies_in`.
    """

    labs: list[Domain]
    config: RunConfig
    store: CellStore
    cells: pd.DataFrame
    features: np.ndarray
    model: CrossDomainAutoencoder
    left_out: dict[str, list[tuple[str, str]]]
    network: Segmenter = None  # type: ignore[assignment]
    start: CrossDomainAutoencoder | None = None
    copies: pd.DataFrame = field(default_factory=no_copies)
    unseen: str = ""

    def found_in(self, lab: str) -> np.ndarray:
        """Rows of a lab's images in which a cell was found: int64 (M,)."""
        return np.flatnonzero((self.cells["domain"] == lab) & self.cells["cell_found"].astype(bool))

    @cached_property
    def sizes(self) -> np.ndarray:
        """How much larger than usual in its lab each cell is, float32 (N,): `dorl.cells.size.relative`.

        Of the lab that nothing is to be known of, `unseen`, each is 0.
        """
        sizes = relative(self.cells["size"].astype(float), self.cells["domain"].to_numpy(object))
        return np.where(self.cells["domain"] == self.unseen, 0, sizes).astype(np.float32)

    @cached_property
    def groups(self) -> np.ndarray:
        """A number for each cell, the same for copies of each other in whatever lab: int64 (N,)."""
        return group_numbers(self.cells["domain"].tolist(), self.cells["path"].tolist(), self.copies)

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient of each cell, as ``lab/patient``; None where unknown: object array (N,)."""
        pairs = zip(self.cells["domain"], self.cells["patient"], strict=True)
        return np.array([f"{lab}/{one}" if isinstance(one, str) and one else None for lab, one in pairs], object)

    def inputs(self, rows: np.ndarray) -> np.ndarray | StoredRows:
        """What classifiers take of some cells: views (M, V, D + F + 1), float16, whose F numbers stay on disk.

        s comes first, then what it is made of, and the cell's size among those of its lab, where the run learns that.

        As published: features s of the whole image (M, D).
        """
        if self.config.method == PUBLISHED:
            return self.features[rows]
        sizes = sizes_of_views(self.sizes[rows], self.config.views) if self.config.views.size else None
        return StoredRows(self.store, "views", rows, then=self.model.completed, beside=sizes)

    def described(self, rows: np.ndarray) -> np.ndarray:
        """What s of some cells is made of, float32 (M, F): the mean over their plain views; as published s itself."""
        if self.config.method == PUBLISHED:
            return self.features[rows]
        return plain_means(StoredRows(self.store, "views", rows), self.config.views.plain)

    def classifier(self, name: str) -> Pipeline:
        """An unfitted classifier that takes what `inputs` gives."""
        of_views = self.config.method == CELL
        return make_classifier(name, self.config.seed, shared=shared_width(self.model) if of_views else None)

    def image(self, row: int) -> np.ndarray:
        """The image that a cell was found in, as `Domain.load` gives it."""
        lab, i = self._places[self.cells["key"].iat[row]]
        return lab.load(i)

    def plain_views(self, rows: Sequence[int] | np.ndarray) -> SeenCells:
        """Some cells, each in its first plain view; not as published."""
        network, images = self.network, [self.image(row) for row in rows]
        out = network(prepared(images, network.image_size))
        return look_at(network, self.model, images, out, [Views(1, 0)] * len(images), [""] * len(images))[0]

    @cached_property
    def _places(self) -> dict[str, tuple[Domain, int]]:
        """Lab of each image, and its number there, by its key."""
        return {lab.key(i): (lab, i) for lab in self.labs for i in range(len(lab))}

    @property
    def domain_index(self) -> np.ndarray:
        """Number of each cell's lab, in the order given: int64 (N,)."""
        return domain_index(self.labs, self.cells)


def domain_index(labs: Sequence[Domain], cells: pd.DataFrame) -> np.ndarray:
    """Number of each cell's lab, in the order of `labs`."""
    numbers = {lab.name: number for number, lab in enumerate(labs)}
    return cells["domain"].map(numbers).to_numpy(np.int64)


def check_labels(labs: Sequence[Domain], folds: int, source: Sequence[str]) -> None:
    """Refuse, before any long work, labs that the protocol could not divide into folds, and unknown source labs."""
    for lab in labs:
        labelled = int(pd.notna(lab.labels).sum())
        if 0 < labelled < folds:
            raise InputError(
                f"{lab.name}: {labelled} labelled images are fewer than {folds} folds: give more, or fewer --folds"
            )
    names = [lab.name for lab in labs]
    for name in source:
        if name not in names:
            raise InputError(f"source {name!r} is no lab here: give one of {', '.join(names)}")
        if not labs[names.index(name)].classes:
            raise InputError(f"source {name!r} has no labels to learn: give another --source, or its labels")


def readable(labs: Sequence[Domain], cells: CellStore) -> list[Domain]:
    """The labs without the images that could not be embedded."""
    have = cells.keys
    used = []
    for lab in labs:
        used.append(lab.take(np.array([lab.key(i) in have for i in range(len(lab))], bool)))
        if not len(used[-1]):
            raise InputError(f"{lab.name}: not one of its {len(lab)} images could be read: give other images")
    return used


def represent(
    labs: Sequence[str | Domain],
    *,
    out: Path,
    kind: Literal["run", "evaluation"],
    settings: FitSettings,
    check: Callable[[Sequence[Domain]], None] = lambda labs: None,
) -> Represented:
    """Read, claim the folder, embed, train the autoencoder, extract features; goes on where it was interrupted.

    The arguments are those of `dorl.fit` and `dorl.evaluate`; `check` refuses labs that its caller can't use.
    It is asked twice: before any work, and once it is known which images can be read.
    """
    folds, device = settings.folds, settings.device
    if folds < 2:
        raise InputError(f"folds is {folds}: give 2 or more")
    check_seed(settings.seed)
    check_folder(out)
    level = check_classes(settings.classes)
    domains = [at_level(lab, level) for lab in read_domains(labs, patient_from=settings.patient_from)]
    refuse_among_images(out, labs, domains)
    check(domains)
    labelled = [lab.name for lab in domains if len(lab.classes)]
    source = list(settings.source or labelled)
    check_labels(domains, folds, source)
    labels = [label for lab in domains if lab.name in source for label in lab.classes]
    network = Segmenter.load(settings.segmenter, encoder=settings.encoder, device=device, precision=settings.precision)
    if settings.autoencoder is not None and "unseen" in settings.protocols:
        raise InputError(
            "the protocol 'unseen' trains autoencoders of its own: leave --autoencoder or that protocol out"
        )
    given = None if settings.autoencoder is None else load_autoencoder(settings.autoencoder, network, device=device)
    method = chosen_method(settings.method, given)
    start = given if given is not None or method == PUBLISHED else bundled(network, device=device)
    config = settings.config(
        kind,
        domains,
        network,
        method,
        source=source,
        classes=[] if level is None else level.classes,
        classified=len(learnt_level(labels).classes) > 1,
        start=start,
        given=given,
    )
    new = in_turn(lambda: claim(out, config), lambda: False)
    for lab in domains:
        classes = counted(len(lab.classes), "class", "classes")
        say(f"{lab.name}: {counted(len(lab), 'image')}, {classes}, {len(lab.left_out)} left out")
    try:
        if is_main():
            network.save(out / SEGMENTER)
        model = None
        if method == CELL:
            model = tuned(domains, network, config, out / AUTOENCODER, start=start, device=device)
        embedded = _embedded(domains, network, config, out / CELLS, model)
        used = readable(domains, embedded.store)
        check_labels(used, folds, source)
        check(used)
        learnt = learnt_level([label for lab in used if lab.name in source for label in lab.classes]).classes
        if config.classifiers.names and len(learnt) < 2:
            raise InputError("the images that could be read have labels of one class: give images of two or more")
    except InputError:
        if new:  # in the main process alone
            release(out)
        raise
    for lab in used:
        for note in lab.describe()["notes"]:
            say(f"{lab.name}: {note}")
    copies = in_turn(lambda: find_copies_in(used, out), lambda: read_copies(out))
    cells = embedded.store.table
    if model is not None:
        align_labs(model, embedded.store, domain_index(used, cells), config, out / AUTOENCODER)
        features = stored_features(embedded.store, model)
    else:
        if given is None:
            model = trained(embedded.store, domain_index(used, cells), config, out / AUTOENCODER, device=device)
        else:
            model = given
            if is_main():
                model.save(out / AUTOENCODER)
        features = encode_cells(model, embedded.store)
    give_back_memory()  # of what has been trained, before other things are
    left_out = {lab.name: list(lab.left_out.itertuples(index=False, name=None)) for lab in domains}
    for key, reason in embedded.left_out:
        name, _, path = key.partition("/")
        left_out[name].append((path, reason))
    gone = counted(sum(map(len, left_out.values())), "image")
    say(f"{counted(len(cells), 'cell')} embedded, {gone} left out")
    return Represented(used, config, embedded.store, cells, features, model, left_out, network, start, copies)


def _embedded(
    labs: Sequence[Domain], network: Segmenter, config: RunConfig, path: Path, model: CrossDomainAutoencoder | None
) -> Embedded:
    """The labs' cells, by the autoencoder of cells, or as published where there is none."""
    source = {"segmenter": config.segmenter.digest, "precision": config.segmenter.precision}
    if model is not None:
        source["autoencoder"] = model.description_digest()
    learnt = [lab.name for lab in labs if len(lab.classes)]
    views = Views(config.views.plain, config.views.restained) if model is not None else None
    return embed(labs, network, path, source=source, autoencoder=model, views=views, learnt=learnt, seed=config.seed)


def represented_without(
    represented: Represented, tested: str, folder: Path, *, device: str | None = None, what: str
) -> Represented:
    """The same cells by an autoencoder of cells that saw nothing of the `tested` lab's images, kept in `folder`.

    Copies of its images in other labs are left out, too. Where nothing is learnt from the labs, they are as they were.
    """
    settings = represented.config.autoencoder
    if not settings.max_iterations and not settings.aligned:
        return replace(represented, unseen=tested)
    place = folder / AUTOENCODER
    own = represented.groups[(represented.cells["domain"] == tested).to_numpy()]
    hidden = set(represented.cells["key"][np.isin(represented.groups, own)])
    others = [
        lab.take([lab.key(i) not in hidden for i in range(len(lab))]) for lab in represented.labs if lab.name != tested
    ]
    model = tuned(
        others, represented.network, represented.config, place, start=represented.start, device=device, what=what
    )
    model.forget_labs(first=False)  # the tested lab may be among those that are bundled
    store = represented.store
    if settings.max_iterations:
        store = _embedded(represented.labs, represented.network, represented.config, folder / CELLS, model).store
    cells = store.table
    seen = np.where(cells["key"].isin(hidden), -1, domain_index(represented.labs, cells))
    align_labs(model, store, seen, represented.config, place)
    return replace(
        represented, store=store, cells=cells, features=stored_features(store, model), model=model, unseen=tested
    )


def stored_features(store: CellStore, model: CrossDomainAutoencoder) -> np.ndarray:
    """Features s of stored cells, float32 (N, D): the mean over their plain views."""
    rows = StoredRows(store, "views", np.arange(len(store)), then=model.completed)
    return plain_means(rows, Views().plain)[:, : model.config.feature_width]


def write_features(path: Path, features: np.ndarray, cells: pd.DataFrame, placed: np.ndarray | None = None) -> None:
    """Write features as AnnData: X float32, obs path, domain, label, split, patient, cell_found.

    Where each cell is `placed` in the plane (N, 2) goes to obsm ``X_umap``, which scanpy draws.
    """
    import anndata

    obs = cells.set_index("key")[["path", "domain", "label", "split", "patient", "cell_found"]].copy()
    for name in ("domain", "label", "split", "patient"):
        obs[name] = pd.Categorical(obs[name].where(obs[name].notna(), None))
    with atomic(path) as temporary:
        anndata.AnnData(X=features, obs=obs, obsm=None if placed is None else {PLACED: placed}).write_h5ad(temporary)
