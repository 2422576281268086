"""Commands that measure how well classifiers do from lab to lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dorl.cli.app import app
from dorl.cli.options import (
    Accumulate,
    Autoencoder,
    Base,
    Classes,
    Device,
    Encoder,
    Epochs,
    Folds,
    Iterations,
    Labs,
    ManyViews,
    Method,
    Out,
    PatientFrom,
    Precision,
    Preset,
    Processes,
    Seed,
    divide,
    listed,
    numbers,
)
from dorl.runtime.memory import without_collection
from dorl.runtime.processes import is_main


@app.command()
def evaluate(
    labs: Labs,
    out: Out,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="transductive (as published), unseen or left-out (one lab, of all others); may be given again. "
            "wbcbench: WBCBench 2026's folder alone, its parts and its submission."
        ),
    ] = None,
    segmenter: Base = "tiny",
    encoder: Encoder = None,
    autoencoder: Autoencoder = None,
    method: Method = "auto",
    views: ManyViews = True,
    classes: Classes = "",
    folds: Folds = 5,
    split: Annotated[
        bool, typer.Option("--split", help="Test what the column split of a manifest calls test, in place of folds.")
    ] = False,
    patient_from: PatientFrom = "",
    preset: Preset = "auto",
    epochs: Epochs = None,
    iterations: Iterations = None,
    accumulate: Accumulate = 1,
    processes: Processes = 1,
    seed: Seed = 0,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """The protocol: train on each lab, test on each; results.csv, table.md, figures, a report."""
    settings = locals() | {"protocols": listed(protocol) or ["transductive"], "classes": listed(classes)}
    del settings["protocol"]
    divide(settings.pop("processes"))
    with without_collection():
        from dorl.commands.fit import evaluate as run

    run(**settings)
    if is_main():
        print((out / "table.md").read_text(encoding="utf-8"))


@app.command()
def benchmark(
    labs: Labs,
    out: Out,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Labs whose labels are learnt, with commas; may be given again. Each in turn by default."),
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="transductive or unseen; may be given again. Both by default.")
    ] = None,
    rows: Annotated[
        list[str] | None, typer.Option(help="One row, or several with commas; may be given again. All by default.")
    ] = None,
    classes: Classes = "",
    per_class: Annotated[
        int | None, typer.Option(help="Source cells learnt from of each class; 400 in quick, 0 for all.")
    ] = None,
    profile: Annotated[str, typer.Option(help="quick (two cores, an hour) or full.")] = "quick",
    seeds: Annotated[int, typer.Option(help="Repetitions.")] = 3,
    folds: Folds = 5,
    patient_from: PatientFrom = "",
    own: Annotated[bool, typer.Option(help="Test on the source's held-out fold, too.")] = True,
    scorer: Annotated[
        str, typer.Option(help="Chooses settings without labels: dev, snd, entropy or circular.")
    ] = "dev",
    segmenter: Base = "tiny",
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="dinobloom-s (or -b, -l) or its .pth file: rows that read tokens are measured on its, too; "
            "several with commas, or given again.",
        ),
    ] = None,
    unseen_segmenter: Annotated[
        list[str] | None,
        typer.Option(metavar="LAB=WEIGHTS", help="Weights trained without that lab, for unseen; may be given again."),
    ] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(metavar="LAB", help="A lab that isn't tested, looked at in unseen, too; may be given again."),
    ] = None,
    corrupt: Annotated[
        int, typer.Option(metavar="CELLS", help="Of each class of a tested lab, tested again with images made worse.")
    ] = 0,
    corrupt_strengths: Annotated[
        str, typer.Option(metavar="N,N", help="Of these images, 1 to 5, with commas. All five by default.")
    ] = "1,2,3,4,5",
    efficientnet_weights: Annotated[Path | None, typer.Option(help="ImageNet weights, a .pth file.")] = None,
    resnext_weights: Annotated[Path | None, typer.Option(help="ImageNet weights, a .pth file.")] = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """DoRL and what one would pick instead, on the same cells: results.csv, table.md."""
    with without_collection():
        from dorl.commands.benchmark import benchmark as run

    run(
        labs,
        out=out,
        source=listed(source) or None,
        protocols=listed(protocol) or ["transductive", "unseen"],
        rows=listed(rows),
        classes=listed(classes),
        per_class=per_class,
        profile=profile,
        seeds=seeds,
        folds=folds,
        patient_from=patient_from,
        own=own,
        scorer=scorer,
        segmenter=segmenter,
        encoders=listed(encoder),
        unseen_segmenter=unseen_segmenter or [],
        unlabelled=unlabelled or [],
        corrupt=corrupt,
        strengths=numbers(corrupt_strengths, "corrupt-strengths", "3, or 1,3,5"),
        efficientnet_weights=efficientnet_weights,
        resnext_weights=resnext_weights,
        seed=seed,
        device=device,
    )
    print((out / "table.md").read_text(encoding="utf-8"))
