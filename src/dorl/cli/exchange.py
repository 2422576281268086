"""Commands that read and write the weights of others, and cells as other tools have them."""

from __future__ import annotations

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
