"""Commands that read and write the weights of others, give them a run, and write cells as other tools have them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dorl.cli.app import app
from dorl.cli.options import Device, RunFolder
from dorl.errors import InputError
from dorl.runtime.memory import without_collection


@app.command("import")
def import_(
    sam: Annotated[Path, typer.Option(help="sam_vit_b*.pth, or l or h.")],
    adapter: Annotated[Path, typer.Option(help="The authors' LoRA file, lora_sam.pth.")],
    cae: Annotated[Path, typer.Option(help="The authors' autoencoder, cae.mdl.")],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    mean: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Of the input, RGB, 0-255; the published one otherwise.")
    ] = None,
    std: Annotated[tuple[float, float, float] | None, typer.Option(help="Likewise, the standard deviation.")] = None,
    device: Device = None,
) -> None:
    """A run folder from the published weights."""
    with without_collection():
        from dorl.commands.convert import import_official

    import_official(sam=sam, adapter=adapter, cae=cae, out=out, mean=mean, std=std, device=device)


@app.command()
def export(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="Folder for lora_sam.pth and cae.mdl.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Folder for segmenter.onnx and encoder.onnx.")] = None,
) -> None:
    """A run's segmenter and autoencoder in the published layouts, as ONNX, or both."""
    with without_collection():
        from dorl.commands.convert import export_official
        from dorl.commands.export_onnx import export_onnx

    if out is None and onnx is None:
        raise InputError("nothing to write: give --out for the published layouts, --onnx for ONNX, or both")
    for folder, write in ((out, export_official), (onnx, export_onnx)):
        for path in [] if folder is None else write(run, out=folder):
            print(path)


@app.command()
def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder of dorl count or dorl segment, or a LAB: coco.json, too.")
    ],
    to: Annotated[
        str, typer.Option(help="coco, yolo, yolo-seg, voc, qupath, ome-tiff, imagej or croissant.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="A new folder; images are copied into it.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder that paths in the tables of count or segment are relative to.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Side of a pixel in µm, for ome-tiff.")] = None,
) -> None:
    """Cells with outlines and classes as other tools read them: COCO, YOLO, VOC, QuPath, ImageJ and others."""
    with without_collection():
        from dorl.commands.annotations import convert as write

    write(source, to=to, out=out, images=images, pixel_size=pixel_size)


@app.command()
def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that dorl fit made.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="On the Hugging Face Hub.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it; a new one is private.")] = False,
    cells: Annotated[
        bool, typer.Option("--cells", help="Send the pictures of the cells that were learnt, too, for dorl serve.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Of the weights, by the hub's name, for example apache-2.0.")] = "",
    message: Annotated[str, typer.Option(help="Of the commit.")] = "A run of dorl",
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
) -> None:
    """A run for others: its weights and measures on the Hugging Face Hub, after saying what goes there."""
    with without_collection():
        from dorl.commands.push import push as push_run

    def agreed() -> bool:
        if not sys.stdin.isatty():
            raise InputError("nothing was sent: give --yes, since there is no terminal to ask at")
        return typer.confirm("Send this?", err=True)

    sent = push_run(
        run,
        repository,
        private=not public,
        cells=cells,
        licence=licence,
        message=message,
        agreed=None if yes else agreed,
    )
    if sent is not None:
        print(sent)
