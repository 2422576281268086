"""Commands that read labs and learn from them."""

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
    Expect,
    Folds,
    Iterations,
    Join,
    Labs,
    ManyViews,
    MaskValue,
    Method,
    OneShard,
    OnRay,
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("demo"),
    cells: Annotated[int, typer.Option(help="Cells of each rendered lab.")] = 130,
    iterations: Iterations = None,
    seed: Seed = 0,
) -> None:
    """The whole road on three rendered labs, offline."""
    with without_collection():
        from dorl.commands.demo import demo as run

    print(f"report: {run(out=out, cells=cells, iterations=iterations, seed=seed)}")


@app.command()
def inspect(
    labs: Labs,
    out: Annotated[Path, typer.Option(help="Folder for the figures and lists.")] = Path("inspection"),
    mask_value: MaskValue = "",
) -> None:
    """What was read: layout, classes, sizes, bad files; grey-level and class figures."""
    with without_collection():
        from dorl.commands.inspect import inspect as run

    for lab in run(labs, out=out, mask_value=numbers(mask_value)):
        print(lab.summary())
    print(f"figures: {out}")


@app.command()
def segment(
    labs: Annotated[list[str], typer.Argument(metavar="LAB...", help="Images, folders of images or manifests.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks: new, or of masks by the same segmenter.")],
    segmenter: Base = "tiny",
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw outlines, too: DIR/overlay/<stem>.png.")] = False,
    measures: Annotated[
        Path | None, typer.Option(help="CSV file to write: size, shape, colour and nucleus of each cell.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Side of a pixel in µm: measures in µm, too.")] = None,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Masks: DIR/<stem>.png, 0 and 255, at the image's own size; confidences in DIR/cells.csv."""
    with without_collection():
        from dorl.commands.segment import segment as run

    run(
        labs,
        out=out,
        segmenter=segmenter,
        overlay=overlay,
        measures=measures,
        pixel_size=pixel_size,
        precision=precision,
        device=device,
    )


@app.command()
def finetune(
    labs: Labs,
    out: Out,
    segmenter: Base = "tiny",
    rank: Annotated[int, typer.Option(help="Of LoRA; 0 tunes all weights instead.")] = 4,
    epochs: Annotated[int, typer.Option(help="Of the fine-tuning.")] = 150,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    learning_rate: Annotated[float, typer.Option("--lr", help="At the end of the warm-up.")] = 1e-4,
    held_out: Annotated[float, typer.Option(help="Share of the images not trained on.")] = 0.2,
    mask_value: MaskValue = "",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """LoRA-SAM from images with masks."""
    with without_collection():
        from dorl.commands.finetune import finetune as run

    run(
        labs,
        out=out,
        segmenter=segmenter,
        rank=rank,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        held_out=held_out,
        mask_value=numbers(mask_value),
        seed=seed,
        device=device,
    )


@app.command()
def embed(
    labs: Labs,
    out: Out,
    segmenter: Base = "tiny",
    encoder: Encoder = None,
    features: Annotated[
        str, typer.Option(help="s of the segmenter's autoencoder, tokens averaged in the mask, or auto: s where it is.")
    ] = "auto",
    processes: Processes = 1,
    shard: OneShard = None,
    join: Join = None,
    ray: OnRay = None,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Frozen features: the bundled autoencoder's s, or an encoder's tokens averaged inside each cell's mask."""
    divide(processes)
    with without_collection():
        from dorl.commands.embed import embed as run

    run(
        labs,
        out=out,
        segmenter=segmenter,
        encoder=encoder,
        features=features,
        precision=precision,
        shard=shard,
        join=join,
        ray=ray,
        device=device,
    )


@app.command()
def fit(
    labs: Labs,
    out: Out,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Labs whose labels are learnt, with commas; may be given again. All by default."),
    ] = None,
    segmenter: Base = "tiny",
    encoder: Encoder = None,
    autoencoder: Autoencoder = None,
    method: Method = "auto",
    views: ManyViews = True,
    classes: Classes = "",
    expect: Expect = "blood",
    folds: Folds = 5,
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
    """Segment, embed, train the autoencoder, extract features, train classifiers."""
    settings = locals() | {"source": listed(source) or None, "classes": listed(classes)}
    divide(settings.pop("processes"))
    with without_collection():
        from dorl.commands.fit import fit as run

    run(**settings)
