"""A run's autoencoder: trained here, once, or elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dorl.cells import CellStore
from dorl.cells.pool import Picture, fill_pool
from dorl.cells.rows import StoredRows
from dorl.cells.views import Views, token_channels
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.files import atomic
from dorl.representation import CrossDomainAutoencoder, train_autoencoder
from dorl.representation.learning import learn
from dorl.run.folder import AUTOENCODER, CELL, HISTORY, PUBLISHED, TUNING, RunConfig
from dorl.run.presets import shape_and_learning, shape_and_training
from dorl.runtime.hub import located
from dorl.runtime.processes import in_turn, is_main
from dorl.runtime.progress import say
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.tensorfiles import read_notes

#: cells of all labs together, and views of each, that an autoencoder is tuned on
POOL, POOL_VIEWS = 1600, Views(plain=2, restained=4)
#: note of an autoencoder's file: it has learnt what the run's labs share
ALIGNED = "aligned"
#: the method that suits the autoencoder
AUTO = "auto"


def load_autoencoder(place: str | Path, segmenter: Segmenter, *, device: str | None = None) -> CrossDomainAutoencoder:
    """An autoencoder trained elsewhere, that fits the segmenter's tokens.

    Parameters
    ----------
    place : str or Path
        ``tiny``, a run folder, a run on the hub (``hub:owner/name``), an
        ``autoencoder.safetensors``, or the DoRL authors' ``cae.mdl``.
    """
    path = located(place, needed=AUTOENCODER)
    path = path / AUTOENCODER if path.is_dir() else path
    official = path.suffix in (".mdl", ".pth", ".pt")
    model = (CrossDomainAutoencoder.from_official if official else CrossDomainAutoencoder.load)(path, device=device)
    config = model.config
    given = (token_channels(segmenter) if config.channels else segmenter.width, segmenter.grid)
    expected = (config.channels or config.width, config.grid)
    if expected != given:
        raise InputError(
            f"{path}: takes {expected[0]} × {expected[1]}² tokens, the segmenter gives {given[0]} × {given[1]}²: "
            "give the segmenter that it was trained with"
        )
    return model


def chosen_method(method: str, given: CrossDomainAutoencoder | None) -> str:
    """The method asked for, or by ``auto`` the one that a given autoencoder is made for, else that of cells."""
    fits = CELL if given is None or given.config.channels else PUBLISHED
    if method not in (AUTO, CELL, PUBLISHED):
        raise InputError(f"method {method!r} is unknown: give {AUTO}, {CELL} or {PUBLISHED}")
    if given is not None and method not in (AUTO, fits):
        raise InputError(f"the autoencoder given is for --method {fits}: give that, or another autoencoder")
    if method == AUTO and fits != CELL:
        say(f"method {fits}, since the autoencoder given takes whole images")
    return fits if method == AUTO else method


def bundled(segmenter: Segmenter, *, device: str | None = None) -> CrossDomainAutoencoder | None:
    """The trained autoencoder that comes with a segmenter's base; None where none does."""
    if segmenter.base != "tiny":
        return None
    model = CrossDomainAutoencoder.load("tiny", device=device)
    return model if (model.config.channels, model.config.grid) == (token_channels(segmenter), segmenter.grid) else None


def tuned(
    labs: Sequence[Domain],
    segmenter: Segmenter,
    config: RunConfig,
    path: Path,
    *,
    start: CrossDomainAutoencoder | None,
    device: str | None = None,
    what: str = "tuning the autoencoder",
) -> CrossDomainAutoencoder:
    """An autoencoder of cells that has learnt from the labs' images, or what an interrupted run had finished.

    It goes on from `start`, or begins anew; with no iterations it is `start` as it is.
    """

    def make() -> CrossDomainAutoencoder:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape, learning = shape_and_learning(config.autoencoder)
        if not learning.steps:
            if start is None:
                raise InputError("no autoencoder comes with this segmenter: leave --iterations 0 out, to train one")
            start.save(path, iterations=0)
            return CrossDomainAutoencoder.load(path, device=device)  # what labs share is learnt into this one
        folder = path.parent / TUNING
        pictures = drawn_pictures(labs, POOL, config.seed)
        pool = fill_pool(
            folder, segmenter, pictures, POOL_VIEWS, seed=config.seed, what=f"{what}: embedding {len(pictures)} cells"
        )
        notes = {"segmenter": config.segmenter.digest, "labs": [lab.name for lab in labs]}
        model, history = learn(
            pool,
            out=path,
            config=shape,
            settings=learning,
            start=start,
            seed=config.seed,
            device=device,
            notes=notes,
            what=what,
        )
        with atomic(path.with_name(HISTORY)) as temporary:
            history.to_csv(temporary, index=False)
        shutil.rmtree(folder)
        return model

    if path.exists():
        return CrossDomainAutoencoder.load(path, device=device)
    return in_turn(make, lambda: CrossDomainAutoencoder.load(path, device=device))


def align_labs(
    model: CrossDomainAutoencoder, store: CellStore, domain: np.ndarray, config: RunConfig, path: Path
) -> None:
    """Let an autoencoder of cells learn what the labs share, from their stored cells, and save it; once.

    Parameters
    ----------
    domain : int array of shape (N,)
        Number of each cell's lab; cells of a negative one are not looked at.
    """

    def make() -> None:
        if path.exists() and read_notes(path).get(ALIGNED):  # by a run that was interrupted
            return
        rows = [np.flatnonzero(domain == number) for number in np.unique(domain[domain >= 0])]
        labs = [StoredRows(store, "views", of) for of in rows]
        say(f"learning what {len(labs)} labs share" if len(labs) > 1 else "learning what the lab shares with others")
        model.align(labs, plain=Views().plain, seed=config.seed)
        model.save(path, **{ALIGNED: True})

    if model.shared is None or not (config.autoencoder.aligned or model.alignment is None):
        return
    in_turn(make, lambda: None)
    model.load_state_dict(CrossDomainAutoencoder.load(path, device="cpu").state_dict())


def shared_width(model: CrossDomainAutoencoder) -> int:
    """How many of the numbers that classifiers take of a view are s, and not its description; 0 where all are s."""
    return 0 if model.shared is None else model.config.feature_width


def drawn_pictures(labs: Sequence[Domain], count: int, seed: int) -> list[Picture]:
    """At most `count` images of all labs, of each as near to its equal share as it has images."""
    left = count
    found: list[Picture] = []
    for number, lab in enumerate(sorted(labs, key=len)):  # what a small lab leaves goes to the others
        rows = seeded(seed, 5, number).permutation(len(lab))[: left // (len(labs) - number)]
        left -= len(rows)
        loads: list[Callable[[], np.ndarray]] = [partial(lab.load, int(i)) for i in rows]
        found += [Picture(lab.key(int(i)), lab.name, load) for i, load in zip(rows, loads, strict=True)]
    return found


def trained(
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
    if is_main():
        with atomic(path.with_name(HISTORY)) as temporary:
            history.to_csv(temporary, index=False)
    return model
