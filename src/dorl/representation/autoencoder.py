"""The cross-domain autoencoder (CAE): a masked autoencoder over SAM's tokens (DoRL, stage 2; He et al. 2022, MAE).

Submodules carry the names of the published checkpoint where that helps to compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.cells.views import MARKS
from dorl.errors import InputError
from dorl.representation.alignment import Alignment, align
from dorl.representation.blocks import Block
from dorl.representation.celltokens import LITTLE, CellTokens, Shared
from dorl.representation.config import ALIGNED, CLASS_TOKEN, AutoencoderConfig
from dorl.representation.official import read_official, write_official
from dorl.runtime.training import default_device
from dorl.tensorfiles import load_into, load_tensors, save_tensors, weights_digest

#: version of the file's layout
FORMAT = 1
#: trained autoencoders of cells that come with the package
BUNDLED = {"tiny": Path(__file__).parents[1] / "weights" / "tiny-autoencoder.safetensors"}


#: side in pixels of what an autoencoder of cells draws of a token
PATCH = 10


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
            return self.see(kept, places, self.cell.begun(tokens))
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
    """The cross-domain autoencoder: from tokens of a cell to its feature s, and to a drawing of the cell.

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
        self.shared = Shared(self.config.described_width) if self.config.feature == ALIGNED else None
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

    @torch.inference_mode()
    def describe(self, tokens: Tensor) -> Tensor:
        """What s is made of: the description of cells, float32 (B, F); s itself where that is made of none."""
        if self.shared is None:
            return self.encode(tokens)
        assert self.encoder.cell is not None
        return self.encoder.cell.described(self._flat(tokens.to(self.shared.mean.device).float()))

    @torch.inference_mode()
    def completed(self, described: np.ndarray) -> np.ndarray:
        """What classifiers take: s, and behind it the description, float16 (…, D + F), of what `describe` gives (…, F).

        Where s is made of no description, it is given back as it is.
        """
        if self.shared is None:
            return np.asarray(described, np.float16)
        shared = self.shared(torch.from_numpy(np.asarray(described, np.float32)).to(self.shared.mean.device))
        return np.concatenate([shared.cpu().numpy(), described], -1, dtype=np.float16, casting="same_kind")

    @property
    def alignment(self) -> Alignment | None:
        """What labs share; None where s is made of no description, or nothing was learnt yet."""
        return None if self.shared is None else self.shared.alignment

    def align(self, labs: Sequence[Any], *, plain: int, seed: int = 0, keep: bool = False) -> None:
        """Learn what labs share, from the descriptions of their cells, going on from what was learnt before.

        Parameters
        ----------
        labs, plain, seed, keep
            As for `dorl.representation.alignment.align`.
        """
        assert self.shared is not None
        self.shared.alignment = align(labs, plain=plain, seed=seed, before=self.shared.alignment, keep=keep)

    def forget_labs(self, *, first: bool = True) -> None:
        """Forget what labs share, so that `align` begins anew; without `first` only the further labs that are kept."""
        if self.shared is not None and first:
            self.shared.forget()
        elif self.shared is not None:
            self.shared.hold(len(self.shared.counts), (0, 0))

    def seen(self, tokens: Tensor) -> Tensor:
        """`encode` for a graph that is trained or exported; `tokens` are float32, where the weights are."""
        flat = self._flat(tokens)
        if self.shared is not None:
            assert self.encoder.cell is not None
            return self.shared(self.encoder.cell.described(flat))
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

    def description_digest(self) -> str:
        """SHA-256 of all that `describe` depends on; what was learnt of labs since doesn't change it."""
        if self.shared is None:
            return self.digest()
        assert self.encoder.cell is not None
        cell = self.encoder.cell
        return weights_digest({"shift": cell.shift, "scale": cell.scale}, [self.config.channels, *self.config.finer])

    def save(self, path: str | Path, *, half: bool = False, **notes: Any) -> None:
        """Write weights and config as safetensors, in half precision where asked for; `notes` go into the header."""
        header = {"kind": "autoencoder", "format": FORMAT, "config": asdict(self.config), "notes": notes}
        tensors = {name: tensor.half() if half else tensor for name, tensor in self.state_dict().items()}
        save_tensors(path, tensors, header)

    @classmethod
    def from_official(cls, path: str | Path, *, device: str | None = None) -> CrossDomainAutoencoder:
        """Read the DoRL authors' ``cae.mdl``; raises InputError for a file of any other content."""
        return read_official(path, cls).to(default_device(device)).eval()

    def save_official(self, path: str | Path) -> None:
        """Write the weights as the DoRL authors' code saves them."""
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
            tuples = {name: tuple(values[name]) for name in ("image_channels", "finer") if name in values}
            model = cls(AutoencoderConfig(**{**values, **tuples}))
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:  # any number may stand there
            raise InputError(f"{path}: its header describes no autoencoder: restore it or train again") from error
        if model.shared is not None and "shared.counts" in tensors:
            others = tensors.setdefault("shared.others", model.shared.others)  # an earlier version's file has none
            model.shared.hold(tensors["shared.counts"].numel(), others.shape[:2])
        load_into(model, tensors, path=path, names=model.state_dict())
        return model.to(default_device(device)).eval()
