"""A run's autoencoder: trained here, once, or elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dorl.cells import CellStore
from dorl.errors import InputError
from dorl.files import atomic
from dorl.pipeline.presets import shape_and_training
from dorl.pipeline.runfolder import AUTOENCODER, RunConfig
from dorl.processes import is_main
from dorl.representation import CrossDomainAutoencoder, train_autoencoder
from dorl.segmentation import Segmenter

HISTORY = "history.csv"


def load_autoencoder(place: str | Path, segmenter: Segmenter, *, device: str | None = None) -> CrossDomainAutoencoder:
    """An autoencoder trained elsewhere, that fits the segmenter's tokens.

    Parameters
    ----------
    place : str or Path
        A run folder, an ``autoencoder.safetensors``, or the DoRL authors' ``cae.mdl``.
    """
    path = Path(place)
    path = path / AUTOENCODER if path.is_dir() else path
    official = path.suffix in (".mdl", ".pth", ".pt")
    model = (CrossDomainAutoencoder.from_official if official else CrossDomainAutoencoder.load)(path, device=device)
    if (model.config.width, model.config.grid) != (segmenter.width, segmenter.grid):
        raise InputError(
            f"{path}: takes {model.config.width} × {model.config.grid}² tokens, the segmenter gives "
            f"{segmenter.width} × {segmenter.grid}²: give the segmenter that it was trained with"
        )
    return model


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
