"""`dorl segment` and `dorl finetune`: the segmenter on its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from dorl.domains import Domain, parse_lab, read_domains
from dorl.errors import BadImageError, InputError
from dorl.files import atomic
from dorl.pipeline.inspection import decodable
from dorl.pipeline.prediction import read_images, tell_left_out
from dorl.pipeline.presets import check_seed
from dorl.pipeline.runfolder import check_folder, make_folder, refuse_run
from dorl.progress import say, track
from dorl.segmentation import Segmenter, largest_component
from dorl.segmentation.finetune import FinetuneSettings, Sample
from dorl.segmentation.finetune import finetune as tune
from dorl.training import seeded

#: values of a manifest's split column that mean "held out"
HELD_OUT = ("val", "valid", "validation", "test", "held-out", "held_out")


@dataclass
class Segmented:
    """Counts of what `segment` did."""

    written: int = 0
    kept: int = 0
    without_cell: int = 0
    left_out: int = 0


def segment(
    lab: str | Path | Domain, *, out: str | Path, segmenter: str | Path = "tiny", device: str | None = None
) -> Segmented:
    """Write the mask of every image of a lab, each as soon as it is made.

    Parameters
    ----------
    lab : str, Path or Domain
        An image, a folder (searched below, too) or a manifest, each as a path or ``name=path``; or a lab.
    out : str or Path
        Folder for ``<stem>.png``: 0 and 255, at the image's own size, the largest part alone with holes filled.
        Where two images in different folders share a stem, the folder's name goes before it. Masks that are there
        already are kept, so that an interrupted run goes on.
    segmenter : str or Path
    device : str, optional

    Returns
    -------
    Segmented

    Raises
    ------
    InputError
        If the images, the segmenter or `out` can't be used.
    """
    given = parse_lab(lab)[1] if isinstance(lab, str) else lab
    images = read_images(given)
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    names = mask_names(images.table["path"].tolist())
    _keep_apart(images, names, out, searched=not isinstance(given, Domain) and Path(given).is_dir())
    network = Segmenter.load(segmenter, device=device)
    new = not out.exists()
    make_folder(out)
    tell_left_out(images)
    done = Segmented(left_out=len(images.left_out))
    for i, name in track(enumerate(names), total=len(images), what="segmenting"):
        target = out / name
        if target.exists():
            done.kept += 1
            continue
        try:
            image = images.load(i)
        except BadImageError as error:
            say(f"left out: {images.table['path'].iat[i]}: {images.reason(i, error)}")
            done.left_out += 1
            continue
        mask = ndimage.binary_fill_holes(largest_component(network(image[None]).masks[0].cpu().numpy()))
        with atomic(target) as temporary:
            Image.fromarray(mask.astype(np.uint8) * 255).save(temporary)
        done.written += 1
        done.without_cell += not mask.any()
    if not done.written + done.kept:
        if new:
            out.rmdir()
        raise InputError("not one image could be read: give other images")
    say(
        f"{done.written} masks written, {done.kept} were there already, {done.without_cell} without a cell, "
        f"{done.left_out} images left out: {out}"
    )
    return done


def mask_names(paths: Sequence[str]) -> list[str]:
    """File names of masks: the stem, with the folders before it where the stem alone isn't unique."""
    stems = [PurePosixPath(path).stem for path in paths]
    often = Counter(stems)
    names = [
        stem if often[stem] == 1 else "_".join([*PurePosixPath(path).parts[:-1], stem])
        for path, stem in zip(paths, stems, strict=True)
    ]
    # two files of one folder can still differ by their ending alone
    twice = Counter(names)
    names = [
        name if twice[name] == 1 else f"{name}_{PurePosixPath(path).suffix[1:]}"
        for path, name in zip(paths, names, strict=True)
    ]
    # a/x.png and a_x.png still come out alike
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i] in taken:
            number += 1
            names[i] = f"{name}_{number}"
        taken.add(names[i])
    return [f"{name}.png" for name in names]


def _keep_apart(images: Domain, names: Sequence[str], out: Path, *, searched: bool) -> None:
    """Refuse an `out` where masks would be taken for images: of the same name, or below a folder that is searched."""
    place, root = out.resolve(), images.root.resolve()
    pictures = {root / path for path in images.table["path"]}
    if any(place / name in pictures for name in names) or (searched and place.is_relative_to(root)):
        raise InputError(f"{out}: lies among the images, masks would be taken for them; choose another --out")


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
    seed: int = 0,
    device: str | None = None,
) -> pd.DataFrame:
    """Tune LoRA-SAM on images with masks.

    Parameters
    ----------
    labs : sequence of str or Domain
        With masks; images without one are not used.
    out : str or Path
        Folder for the adapter, ``segmenter.safetensors``, and ``history.csv``; a new one, or that of the same
        fine-tuning interrupted, which goes on.
    segmenter : str or Path
        The base; it must have no adapter yet.
    rank, epochs, batch_size, learning_rate
        The published 4, 150, 32 and 1e-4 by default.
    held_out : float
        Share of each lab's images that are not trained on, drawn by `seed`; where a manifest's split column names
        images for validation or test, those are held out instead.
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
    for name, value in (("rank", rank), ("epochs", epochs), ("batch size", batch_size)):
        if value < 1:
            raise InputError(f"{name} is {value}: give 1 or more")
    if not 0 < learning_rate < float("inf"):
        raise InputError(f"learning rate is {learning_rate}: give a number above 0, for example 1e-4")
    check_seed(seed)
    domains = read_domains(labs)
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
    train: list[Sample] = []
    rest: list[Sample] = []
    left_out = 0
    for number, lab in enumerate(domains):
        usable = decodable(lab)
        tell_left_out(usable)
        left_out += len(usable.left_out)
        usable = usable.take(usable.table["mask"].notna().to_numpy())
        chosen = _held_out(usable, held_out, seeded(seed, number))
        train += [(usable, int(i)) for i in np.flatnonzero(~chosen)]
        rest += [(usable, int(i)) for i in np.flatnonzero(chosen)]
    if not train or not rest:
        raise InputError(
            f"{len(train)} images with masks to train on and {len(rest)} to hold out: give one or more of each"
        )
    make_folder(out)
    say(f"fine-tuning on {len(train)} images, {len(rest)} held out, {left_out} left out")
    settings = FinetuneSettings(rank=rank, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    return tune(network, train, rest, out=out, settings=settings, seed=seed)


def _held_out(lab: Domain, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which images to hold out: bool (N,)."""
    named = lab.table["split"].isin(HELD_OUT).to_numpy()
    if named.any():
        return named
    chosen = np.zeros(len(lab), bool)
    chosen[rng.permutation(len(lab))[: max(1, round(share * len(lab)))]] = True
    return chosen
