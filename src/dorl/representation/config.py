"""The shape of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from dorl.cells.views import MARKS
from dorl.errors import InputError
from dorl.representation.alignment import WIDTH

#: what s may be
CLASS_TOKEN, PARTS, ALIGNED = "class token", "parts", "aligned"
#: width of the autoencoder of cells, and share of a cell's tokens that it looks at
CELL_WIDTH, SEEN = 192, 4 / 7
#: width of an attention head in the published network
HEAD_WIDTH = 64


def heads_for(width: int) -> int:
    """Attention heads of a width: 64 wide each as published, or a little wider where that doesn't divide it."""
    return next(heads for heads in range(max(1, width // HEAD_WIDTH), 0, -1) if width % heads == 0)


@dataclass(frozen=True)
class AutoencoderConfig:
    """The shape of a CAE; the defaults are the published ones.

    Parameters
    ----------
    width, depth, heads : int
        Of the encoder; `width` is that of the tokens and of the feature s.
    decoder_depth : int
    grid : int
        Tokens on a side.
    z_width : int
        Of z, on which the domains are compared.
    mask_ratio : float
        Share of the tokens hidden while training.
    image_channels : tuple of 4 int
        Between the transposed convolutions.
    image_size : int
        Side of the reconstructed crop, in pixels.
    token_scale : float
        Tokens are divided by it on their way in, and multiplied on their way out.
    channels : int
        Of the tokens, where these are a cell's (`dorl.cells.views.view_tokens`), whose last two channels are the shares
        of cell and nucleus; 0 as published, where tokens are as wide as the feature s.
    seen : int
        Of a cell's tokens, so many that the cell covers most are looked at; the others are background.
    finer : tuple of int
        Channels of the encoder's finer grids; of each, a cell's tokens hold mean and deviation in the token's patch.
    feature : {"class token", "parts", "aligned"}
        What s is. As published the class token. Of a cell, ``aligned``: what labs share of its description
        (`CellTokens.described`, `dorl.representation.alignment`); ``parts``: the class token, and behind it the means
        of what the encoder makes of the nucleus and of the cytoplasm.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    decoder_depth: int = 4
    grid: int = 14
    z_width: int = 50
    mask_ratio: float = 0.75
    image_channels: tuple[int, int, int, int] = (512, 256, 128, 64)
    image_size: int = 128
    token_scale: float = 1.0
    channels: int = 0
    seen: int = 112
    finer: tuple[int, ...] = ()
    feature: str = CLASS_TOKEN

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not a multiple of {self.heads} heads")
        if not 0 <= self.mask_ratio < 1:
            raise InputError(f"mask_ratio {self.mask_ratio} is not in [0, 1)")
        if not 0 < self.token_scale < float("inf"):
            raise InputError(f"token_scale {self.token_scale} is no positive number")
        if self.channels and (self.channels <= MARKS or not 1 <= self.seen <= self.grid**2):
            raise InputError(f"{self.channels} channels, {self.seen} tokens seen: a cell's tokens have more than two")
        if self.channels and self.channels <= MARKS + 2 * sum(self.finer):
            raise InputError(f"{self.channels} channels don't hold mean and deviation of {self.finer} finer ones")
        if self.feature not in (CLASS_TOKEN, *((PARTS, ALIGNED) if self.channels else ())):
            raise InputError(f"feature {self.feature!r} is not known, or not of whole images")

    @property
    def feature_width(self) -> int:
        """Numbers of the feature s."""
        return WIDTH if self.feature == ALIGNED else self.learnt_width

    @property
    def described_width(self) -> int:
        """Numbers of a cell's description; 0 where s isn't made of one."""
        return 4 * (self.channels - MARKS - sum(self.finer)) if self.feature == ALIGNED else 0

    @property
    def learnt_width(self) -> int:
        """Numbers of what the blocks make of a cell, or a picture."""
        return self.width if self.feature == CLASS_TOKEN else 3 * self.width

    @classmethod
    def scaled(cls, width: int, grid: int, *, depth: int, decoder_depth: int) -> AutoencoderConfig:
        """A smaller CAE: heads 64 wide as published, image channels in half the published proportion to the width."""
        channels = tuple(max(8, round(c * width / 1536)) for c in (512, 256, 128, 64))
        return cls(
            width=width,
            depth=depth,
            heads=heads_for(width),
            decoder_depth=decoder_depth,
            grid=grid,
            image_channels=channels,  # type: ignore[arg-type]
        )

    @classmethod
    def of_cells(cls, channels: int, grid: int, finer: tuple[int, ...]) -> AutoencoderConfig:
        """The shape for a cell's tokens of so many channels, `finer` as above, as the bundled one has it."""
        return cls(
            width=CELL_WIDTH,
            depth=4,
            heads=heads_for(CELL_WIDTH),
            decoder_depth=1,
            grid=grid,
            mask_ratio=0.7,
            channels=channels,
            seen=round(SEEN * grid**2),
            finer=finer,
            feature=ALIGNED,
        )
