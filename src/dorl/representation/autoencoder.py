"""The cross-domain autoencoder (CAE): a masked autoencoder over SAM's tokens (DoRL, stage 2; He et al. 2022, MAE).

Submodules carry the names of the published checkpoint where that helps to compare the two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.cells.views import MARKS
from dorl.errors import InputError
from dorl.tensorfiles import load_into, load_tensors, save_tensors, weights_digest
from dorl.training import default_device

#: version of the file's layout
FORMAT = 1
#: trained autoencoders of cells that come with the package
BUNDLED = {"tiny": Path(__file__).parents[1] / "weights" / "tiny-autoencoder.safetensors"}


#: what s may be
CLASS_TOKEN, PARTS, DESCRIPTION = "class token", "parts", "description"
#: weight of every token beside that of those in question, so that an empty part has a mean
LITTLE = 1e-4
#: side in pixels of what an autoencoder of cells draws of a token
PATCH = 10
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
    feature : {"class token", "parts", "description"}
        What s is. As published the class token. Of a cell, ``parts``: behind it the means of what the encoder makes of
        the nucleus and of the cytoplasm; ``description``: what the class token starts from (`CellTokens.described`).
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
        if self.feature not in (CLASS_TOKEN, *((PARTS, DESCRIPTION) if self.channels else ())):
            raise InputError(f"feature {self.feature!r} is not known, or not of whole images")

    @property
    def feature_width(self) -> int:
        """Numbers of the feature s."""
        return 4 * (self.channels - MARKS) if self.feature == DESCRIPTION else self.learnt_width

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
    def of_cells(cls, channels: int, grid: int) -> AutoencoderConfig:
        """The shape for a cell's tokens of so many channels, as the bundled one has it."""
        return cls(
            width=CELL_WIDTH,
            depth=4,
            heads=heads_for(CELL_WIDTH),
            decoder_depth=1,
            grid=grid,
            mask_ratio=0.7,
            channels=channels,
            seen=round(SEEN * grid**2),
            feature=DESCRIPTION,
        )


class Attention(nn.Module):
    """Self-attention without bias on query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, N, D) to (B, N, D)."""
        batch, count, width = x.shape
        query, key, value = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(query, key, value)
        return self.proj(out.transpose(1, 2).reshape(batch, count, width))


class MLP(nn.Module):
    """Two layers, four times as wide between, GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, N, D) to (B, N, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm ViT block."""

    #: of the blocks' norms, as the official outputs show; the norm behind the last block has torch's 1e-5. It matters
    #: for the class token, whose variance is no larger than 4e-4 at first.
    EPSILON = 1e-6

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=self.EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=self.EPSILON)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class CellTokens(nn.Module):
    """A cell's tokens, standardised, on their way into the encoder; and the cell as a whole, for the class token.

    Parameters
    ----------
    config : AutoencoderConfig
        Its `channels` aren't 0.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        features = config.channels - MARKS
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.embed = nn.Linear(config.channels, config.width)
        self.whole = nn.Linear(4 * features, config.width)

    def standardised(self, tokens: Tensor) -> Tensor:
        """Features (B, N, C − 2) of tokens (B, N, C), with mean 0 and deviation 1 over the cells learnt from."""
        return (tokens[..., :-MARKS] - self.shift) / self.scale

    def described(self, tokens: Tensor) -> Tensor:
        """Means in cell, nucleus and cytoplasm, and spread in the cell, of standardised features: (B, 4·(C − 2))."""
        features, marks = self.standardised(tokens), tokens[..., -MARKS:]
        cytoplasm = (marks[..., :1] - marks[..., 1:]).clamp_min(0)
        weight = torch.cat([marks, cytoplasm], 2) + LITTLE
        weight = weight / weight.sum(1, keepdim=True)
        means = torch.einsum("bnk,bnc->bkc", weight, features)
        spread = torch.einsum("bn,bnc->bc", weight[..., 0], (features - means[:, :1]).square())
        return torch.cat([means.flatten(1), spread.clamp_min(1e-6).sqrt()], 1)

    def forward(self, tokens: Tensor, description: Tensor) -> tuple[Tensor, Tensor]:
        """From tokens (B, N, C) and the cell's description to (B, N, D) and (B, 1, D)."""
        features = torch.cat([self.standardised(tokens), 4 * tokens[..., -MARKS:] - 1], 2)
        return self.embed(features), self.whole(description)[:, None]


class Encoder(nn.Module):
    """Tokens in, class token and kept tokens out."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.token_scale = config.token_scale
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embedding = nn.Parameter(torch.zeros(1, config.grid**2, config.width))
        self.transformer = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.depth)))
        self.layer_norm = nn.LayerNorm(config.width)
        self.cell = CellTokens(config) if config.channels else None

    def forward(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """From (B, N, D) to (B, 1 + kept, D); `keep` (B, kept) are the positions that aren't hidden."""
        if self.cell is not None:
            places = keep
            if places is None:
                places = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[0], -1)
            kept = tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))
            return self.see(kept, places, self.cell.described(tokens))
        x = tokens / self.token_scale + self.pos_embedding
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
        return self._through(self.cls_token.expand(x.shape[0], -1, -1), x)

    def see(self, tokens: Tensor, places: Tensor, description: Tensor) -> Tensor:
        """Likewise, of a cell's tokens: those that stay (B, kept, C), their positions, and the cell's description."""
        assert self.cell is not None
        x, whole = self.cell(tokens, description)
        return self._through(self.cls_token + whole, x + self.pos_embedding[0][places])

    def _through(self, start: Tensor, x: Tensor) -> Tensor:
        return self.layer_norm(self.transformer(torch.cat([start, x], dim=1)))


class Decoder(nn.Module):
    """Class token and kept tokens in; tokens, image and z out."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embedding = nn.Parameter(torch.zeros(1, config.grid**2 + 1, config.width))
        self.transformer = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.decoder_depth)))
        first, second, third, fourth = config.image_channels
        self.head = nn.Sequential(
            nn.ConvTranspose2d(config.width, first, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, second, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(second, third, 4, stride=1, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(third, fourth, 8, stride=1, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(fourth, 3, 8, stride=2, padding=1),
        )
        if config.channels:
            self.head = _cell_head(config.width)
        self.to_z = nn.Linear(config.width, config.z_width)
        # a cell's tokens are given back standardised, without their marks
        self.to_tokens = nn.Linear(config.width, config.channels - MARKS) if config.channels else None

    def forward(self, encoded: Tensor, keep: Tensor | None = None) -> Reconstruction:
        """Put mask tokens where tokens were hidden, and decode."""
        grid = self.config.grid
        if keep is not None:
            full = self.mask_token.to(encoded.dtype).repeat(len(encoded), grid**2, 1)
            full = full.scatter(1, keep[..., None].expand(-1, -1, encoded.shape[-1]), encoded[:, 1:])
            encoded = torch.cat([encoded[:, :1], full], dim=1)
        out = self.transformer(encoded + self.pos_embedding)[:, 1:]
        tokens = out.transpose(1, 2).unflatten(2, (grid, grid))
        image = self.head(tokens)
        size = (self.config.image_size, self.config.image_size)
        if image.shape[-2:] != size:  # a grid of 14 gives 128 pixels; others are resized to it
            image = F.interpolate(image, size, mode="bilinear", align_corners=False)
        given = tokens * self.config.token_scale if self.to_tokens is None else self._cell_tokens(out)
        return Reconstruction(given, image, self.to_z(out.mean(1)))

    def _cell_tokens(self, out: Tensor) -> Tensor:
        grid = self.config.grid
        assert self.to_tokens is not None
        return self.to_tokens(out).transpose(1, 2).unflatten(2, (grid, grid))


def _cell_head(width: int) -> nn.Sequential:
    """From tokens (B, D, G, G) to the picture of a cell (B, 3, 10·G, 10·G): each token's own patch, then blended."""
    shades = 12
    return nn.Sequential(
        nn.Conv2d(width, 256, 1),
        nn.GELU(),
        nn.Conv2d(256, shades * PATCH**2, 1),
        nn.PixelShuffle(PATCH),
        nn.GELU(),
        nn.Conv2d(shades, 3, 5, padding=2),
    )


class Reconstruction(NamedTuple):
    """What the decoder gives back.

    Attributes
    ----------
    tokens : Tensor of shape (B, D, G, G)
        Of a cell's tokens: (B, C − 2, G, G), standardised.
    image : Tensor of shape (B, 3, S, S)
        The cell's crop, nominally 0-1, not clipped.
    z : Tensor of shape (B, Z)
    """

    tokens: Tensor
    image: Tensor
    z: Tensor


class CrossDomainAutoencoder(nn.Module):
    """The CAE.

    Parameters
    ----------
    config : AutoencoderConfig, optional
        The published shape by default.
    """

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or AutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        for position in (self.encoder.cls_token, self.encoder.pos_embedding):
            nn.init.trunc_normal_(position, std=0.02)
        for position in (self.decoder.mask_token, self.decoder.pos_embedding):
            nn.init.trunc_normal_(position, std=0.02)

    def draw_keep(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw, per image, the positions that stay visible: int64 (B, round-down of (1 − mask_ratio)·N).

        N is G², or of a cell's tokens those looked at; these are numbered by how much the cell covers them.
        """
        count = self.config.seen if self.config.channels else self.config.grid**2
        kept = max(1, int(count * (1 - self.config.mask_ratio)))
        return torch.rand(batch, count, generator=generator).argsort(1)[:, :kept]

    def looked_at(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor | None:
        """Positions (B, K) of tokens (B, N, C) that the encoder is given: all (None) as published, else the cell's.

        `keep` are the numbers, among these, of those that stay visible.
        """
        if not self.config.channels:
            return keep
        places = tokens[..., -MARKS].topk(self.config.seen, dim=1).indices
        return places if keep is None else places.gather(1, keep)

    def forward(self, tokens: Tensor, keep: Tensor | None = None) -> Reconstruction:
        """Encode and decode.

        Parameters
        ----------
        tokens : Tensor of shape (B, D, G, G)
        keep : int64 Tensor of shape (B, K), optional
            Visible positions, row by row; all by default.
        """
        flat = self._flat(tokens)
        keep = self.looked_at(flat, keep)
        return self.decoder(self.encoder(flat, keep), keep)

    @torch.inference_mode()
    def encode(self, tokens: Tensor) -> Tensor:
        """The feature s with nothing hidden: float32 (B, D), from tokens (B, D, G, G), or of cells (B, C, G, G)."""
        return self.seen(tokens.to(self.encoder.cls_token.device).float())

    def seen(self, tokens: Tensor) -> Tensor:
        """`encode` for a graph that is trained or exported; `tokens` are float32, where the weights are."""
        flat = self._flat(tokens)
        if self.config.feature == DESCRIPTION:
            assert self.encoder.cell is not None
            return self.encoder.cell.described(flat)
        places = self.looked_at(flat)
        encoded = self.encoder(flat, places)
        if places is None:
            return encoded[:, 0]
        return self.learnt(encoded, flat[..., -MARKS:].gather(1, places[..., None].expand(-1, -1, MARKS)))

    def learnt(self, encoded: Tensor, marks: Tensor) -> Tensor:
        """What the blocks made of cells (B, 1 + K, W), whose tokens have these marks (B, K, 2): (B, learnt_width)."""
        if self.config.feature == CLASS_TOKEN:
            return encoded[:, 0]
        weight = torch.stack([marks[..., 1], (marks[..., 0] - marks[..., 1]).clamp_min(0)], 1) + LITTLE
        means = (weight / weight.sum(2, keepdim=True)) @ encoded[:, 1:]
        return torch.cat([encoded[:, 0], means.flatten(1)], 1)

    @torch.inference_mode()
    def draw(self, tokens: Tensor) -> Tensor:
        """What it draws with nothing hidden, uint8 (B, S, S, 3), RGB, 0-255, from tokens (B, D, G, G)."""
        image = self(tokens.to(self.encoder.cls_token.device).float()).image
        return (image.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)

    def _flat(self, tokens: Tensor) -> Tensor:
        expected = (self.config.channels or self.config.width, self.config.grid, self.config.grid)
        if tokens.shape[1:] != expected:
            raise InputError(f"tokens of shape {tuple(tokens.shape[1:])}, this autoencoder takes {expected}")
        return tokens.flatten(2).transpose(1, 2)

    def digest(self) -> str:
        """SHA-256 of shape and weights; equal digests compute equal features."""
        return weights_digest(self.state_dict(), self.config)

    def save(self, path: str | Path, *, half: bool = False, **notes: Any) -> None:
        """Write weights and config as safetensors, in half precision where asked for; `notes` go into the header."""
        header = {"kind": "autoencoder", "format": FORMAT, "config": asdict(self.config), "notes": notes}
        tensors = {name: tensor.half() if half else tensor for name, tensor in self.state_dict().items()}
        save_tensors(path, tensors, header)

    @classmethod
    def from_official(cls, path: str | Path, *, device: str | None = None) -> CrossDomainAutoencoder:
        """Read the DoRL authors' ``cae.mdl``; raises InputError for a file of any other content."""
        from dorl.representation.official import read_official

        return read_official(path).to(default_device(device)).eval()

    def save_official(self, path: str | Path) -> None:
        """Write the weights as the DoRL authors' code saves them."""
        from dorl.representation.official import write_official

        write_official(self, path)

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> CrossDomainAutoencoder:
        """Read what `save` wrote, or by its name a bundled one: ``tiny``, of cells, for the segmenter of that name."""
        if str(path) in BUNDLED:
            path = BUNDLED[str(path)]
        tensors, header = load_tensors(path)
        if header.get("kind") != "autoencoder":
            raise InputError(f"{path}: not an autoencoder's file")
        if header.get("format") != FORMAT:
            raise InputError(f"{path}: layout {header.get('format')}, this dorl reads {FORMAT}: train it again")
        try:
            values = header["config"]
            model = cls(AutoencoderConfig(**{**values, "image_channels": tuple(values["image_channels"])}))
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:  # any number may stand there
            raise InputError(f"{path}: its header describes no autoencoder: restore it or train again") from error
        load_into(model, tensors, path=path, names=model.state_dict())
        return model.to(default_device(device)).eval()
