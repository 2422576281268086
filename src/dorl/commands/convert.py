"""`dorl import` and `dorl export`: run folders from the published files, and back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import dorl
from dorl.errors import InputError
from dorl.files import write_json
from dorl.reporting.report import write_run_report
from dorl.run.autoencoders import load_autoencoder
from dorl.run.card import write_card
from dorl.run.folder import (
    AUTOENCODER,
    METRICS,
    SEGMENTER,
    ClassifierSettings,
    RunConfig,
    SegmenterConfig,
    check_folder,
    claim,
    make_folder,
    refuse_written,
)
from dorl.run.model import DoRL
from dorl.run.presets import DEFAULT_CLASSIFIER, given_settings
from dorl.runtime.progress import say
from dorl.segmentation import Segmenter
from dorl.segmentation.checkpoints import BASE, save_base

#: names of the DoRL authors' files
OFFICIAL_ADAPTER, OFFICIAL_AUTOENCODER = "lora_sam.pth", "cae.mdl"


def import_official(
    *,
    sam: str | Path,
    adapter: str | Path,
    cae: str | Path,
    out: str | Path,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
) -> DoRL:
    """Make a run folder from the published files.

    It has no lab and no classifier; ``dorl fit --segmenter RUN --autoencoder RUN`` adds them over labs of one's own.
    The base's weights lie in it too, as ``base.safetensors``, so that it doesn't depend on the files it came from.

    Parameters
    ----------
    sam, adapter : str or Path
        As for `Segmenter.from_official`.
    cae : str or Path
        As for `CrossDomainAutoencoder.from_official`.
    out : str or Path
        A new folder.
    mean, std : sequence of 3 floats, optional
        Of the segmenter's input, RGB, 0-255; the published adapter's by default.
    device : str, optional

    Returns
    -------
    DoRL

    Raises
    ------
    InputError
        If a file can't be used, or `out` is not free.
    """
    started = time.monotonic()
    out = Path(out)
    check_folder(out)
    network = Segmenter.from_official(sam, adapter, mean=mean, std=std, device=device)
    model = load_autoencoder(cae, network, device=device)
    config = RunConfig(
        kind="run",
        dorl=dorl.__version__,
        seed=0,
        labs=[],
        segmenter=SegmenterConfig(
            name=Path(sam).name,
            base=network.base,
            rank=network.rank,
            precision=network.precision,
            digest=network.digest(),
        ),
        autoencoder=given_settings(model),
        classifiers=ClassifierSettings(names=[], default=DEFAULT_CLASSIFIER, source=[], folds=0),
    )
    claim(out, config)
    save_base(network, out / BASE, card={"from": Path(sam).name}, half=False)
    network.base_file = str((out / BASE).resolve())
    network.save(out / SEGMENTER)
    model.save(out / AUTOENCODER, file=Path(cae).name)
    metrics = {
        "seconds": round(time.monotonic() - started, 1),
        "labs": {},
        "notes": [f"Imported from {Path(sam).name}, {Path(adapter).name} and {Path(cae).name}."],
        "results": [],
    }
    write_card(out, config, metrics)
    write_json(out / METRICS, metrics)
    write_run_report(out)
    say(f"imported: {out}")
    return DoRL.load(out, device=device)


def export_official(run: str | Path, *, out: str | Path) -> list[Path]:
    """Write a run's adapter and autoencoder in the layouts of the DoRL authors' code.

    Parameters
    ----------
    run : str or Path
    out : str or Path
        Folder for ``lora_sam.pth`` (where the segmenter has a LoRA adapter) and ``cae.mdl``.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        If the run can't be used, or something would be written over.
    """
    model = DoRL.load(run, device="cpu")
    if model.autoencoder.config.channels:
        raise InputError(f"{run}: its autoencoder takes cells: export a run of dorl fit --method published")
    out = Path(out)
    paths = [out / OFFICIAL_AUTOENCODER]
    if model.segmenter.rank:
        paths.insert(0, out / OFFICIAL_ADAPTER)
    else:
        say(f"{run}: its segmenter has no LoRA adapter, so {OFFICIAL_ADAPTER} is not written")
    make_folder(out)
    refuse_written(paths, "--out")
    if model.segmenter.rank:
        model.segmenter.save_official(paths[0])
    model.autoencoder.save_official(paths[-1])
    return paths
