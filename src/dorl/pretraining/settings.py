"""How the bundled backbone is built and trained."""

from __future__ import annotations

from dataclasses import dataclass

from dorl.segmentation.backbones.sam import SamSpec
from dorl.segmentation.backbones.tiny import CompactSpec

#: the two designs that were compared
DESIGNS: dict[str, CompactSpec | SamSpec] = {
    "compact": CompactSpec(),
    "vit": SamSpec(width=192, depth=6, heads=6, global_blocks=(), neck=128, decoder_mlp=512),
}
#: input mean and standard deviation, RGB, 0-255: ImageNet's, which the compact encoder was trained with
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Settings:
    """How the backbone is trained.

    Parameters
    ----------
    design : {"compact", "vit"}
    steps, batch_size : int
        A step sees `batch_size` pictures in two renderings each.
    learning_rate, weight_decay : float
        Of AdamW.
    pretrained_rate : float
        Share of the learning rate for weights that come from ImageNet.
    warmup : int
        Steps.
    token_weight, code_weight : float
        Of the two terms that make renderings of a cell alike, and cells of a lab different.
    averaging : float
        Of the weights over the steps; the average is what is shipped.
    rounds : tuple of float
        Where on the way pseudo-masks are made.
    most : int
        Images of one lab that a round looks at.
    masked_steps : int
        Of the ViT's prediction of hidden patches, before all else.
    seed : int
    """

    design: str = "compact"
    steps: int = 1800
    batch_size: int = 12
    learning_rate: float = 1e-3
    pretrained_rate: float = 0.25
    weight_decay: float = 0.05
    warmup: int = 100
    token_weight: float = 0.2
    code_weight: float = 0.3
    averaging: float = 0.99
    rounds: tuple[float, ...] = (0.25, 0.5, 0.75)
    most: int = 900
    masked_steps: int = 0
    seed: int = 2024
