"""`dorl finetune`: a segmenter tuned on images with masks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains import Domain, read_domains
from dorl.domains.gathering import decodable, tell_left_out
from dorl.errors import InputError
from dorl.run.folder import check_folder, make_folder
from dorl.run.presets import check_seed
from dorl.runtime.progress import say
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.finetune import FinetuneSettings
from dorl.segmentation.finetune import finetune as tune
from dorl.words import counted

#: values of a manifest's split column that mean "held out", in small or capital letters
HELD_OUT = ("val", "valid", "validation", "test", "held-out", "held_out")


def finetune(
    labs: Sequence[str | Domain],
    *,
    out: str | Path,
    segmenter: str | Path = "tiny",
    rank: int = 4,
    epochs: int = 150,
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    held_out: float = 0.2,
    mask_value: Sequence[float] = (),
    seed: int = 0,
    device: str | None = None,
) -> pd.DataFrame:
    """Tune a segmenter on images with masks: LoRA and the decoder, or all weights.

    Parameters
    ----------
    labs : sequence of str or Domain
        With masks; images without one are not used.
    out : str or Path
        Folder for ``segmenter.safetensors``, the adapter or with rank 0 the whole network, and ``history.csv``; a new
        one, or that of the same fine-tuning interrupted, which goes on.
    segmenter : str or Path
        The base; it must have no adapter yet.
    rank, epochs, batch_size, learning_rate
        The published 4, 150, 32 and 1e-4 by default; rank 0 tunes all weights and adds no LoRA.
    held_out : float
        Share of each lab's images that are not trained on, drawn by `seed`; where a manifest's split column names
        images for validation or test, those are held out instead.
    mask_value : sequence of float
        Values of the cell in the masks; concluded by default.
    seed : int
    device : str, optional

    Returns
    -------
    DataFrame
        A row an epoch: epoch, loss, and dice and iou on the held-out images.

    Raises
    ------
    InputError
        If a lab, a setting or `out` can't be used.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held-out share {held_out} is not between 0 and 1")
    for name, value, least in (("rank", rank, 0), ("epochs", epochs, 1), ("batch size", batch_size, 1)):
        if value < least:
            raise InputError(f"{name} is {value}: give {least} or more")
    if not 0 < learning_rate < float("inf"):
        raise InputError(f"learning rate is {learning_rate}: give a number above 0, for example 1e-4")
    check_seed(seed)
    domains = read_domains(labs, mask_value=mask_value)
    for lab in domains:
        if not lab.has_masks:
            raise InputError(f"{lab.name}: has no masks; give a manifest with a mask column")
    out = Path(out)
    check_folder(out)
    adapter, unfinished = out / "segmenter.safetensors", out / "unfinished.safetensors"
    if out.exists() and any(out.iterdir()) and not unfinished.exists():
        what = "holds a finished segmenter" if adapter.exists() else "is not empty"
        raise InputError(f"{out}: {what}; choose another folder for --out")
    network = Segmenter.load(segmenter, device=device)
    if network.rank:
        raise InputError(f"{segmenter}: has an adapter already; fine-tune from its base, {network.base!r}")
    train: list[tuple[Domain, int]] = []
    rest: list[tuple[Domain, int]] = []
    left_out = 0
    for number, lab in enumerate(domains):
        usable = decodable(lab)
        tell_left_out(replace(usable, remarks=()))  # said already
        left_out += len(usable.left_out)
        usable = usable.take(usable.table["mask"].notna().to_numpy())
        chosen = _held_out(usable, held_out, seeded(seed, number))
        train += [(usable, int(i)) for i in np.flatnonzero(~chosen)]
        rest += [(usable, int(i)) for i in np.flatnonzero(chosen)]
    if not train or not rest:
        raise InputError(
            f"{counted(len(train), 'image')} with masks to train on and {len(rest)} to hold out: give one or more of "
            "each"
        )
    make_folder(out)
    say(f"fine-tuning on {counted(len(train), 'image')}, {len(rest)} held out, {left_out} left out")
    settings = FinetuneSettings(rank=rank, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    return tune(network, train, rest, out=out, settings=settings, seed=seed, made_of=_digest(train, rest))


def _digest(*parts: Sequence[tuple[Domain, int]]) -> str:
    """Changes with the images, their masks and the part that they stand in."""
    found = hashlib.sha256()
    for number, part in enumerate(parts):
        for lab, i in part:
            row = lab.table.iloc[i]
            found.update(f"{number} {lab.key(i)} {lab.source.digest(row['path'], row['mask'])}\n".encode())
    return found.hexdigest()[:16]


def _held_out(lab: Domain, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which images to hold out: bool (N,)."""
    named = lab.table["split"].astype("string").str.casefold().isin(HELD_OUT).to_numpy()
    if named.any():
        return named
    chosen = np.zeros(len(lab), bool)
    chosen[rng.permutation(len(lab))[: max(1, round(share * len(lab)))]] = True
    return chosen
