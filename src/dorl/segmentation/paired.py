"""Tokens of one network, masks of another: for encoders that embed cells but segment none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.runtime.training import default_device, has_bf16
from dorl.segmentation.backbones import dinobloom
from dorl.segmentation.pixels import normalise, prepare
from dorl.segmentation.segmenter import Segmenter, SegmenterOutput
from dorl.segmentation.weights import hub
from dorl.tensorfiles import weights_digest


class Embedder:
    """An encoder alone: images in, tokens out.

    Parameters
    ----------
    model : Dinov2Model
    spec : DinoSpec
    name : str
        As it is asked for by.
    file : Path
        Where its weights were read from.
    device, precision
        As for `Segmenter`.
    """

    def __init__(
        self,
        model: Any,
        spec: dinobloom.DinoSpec,
        *,
        name: str,
        file: Path,
        device: str | None = None,
        precision: str = "auto",
    ) -> None:
        self.device = default_device(device)
        # integers are for the segmenter alone
        fast = precision == "bfloat16" or (precision in ("auto", "int8") and has_bf16(self.device))
        self.dtype = torch.bfloat16 if fast else torch.float32
        self._digest = weights_digest(model.state_dict(), spec)  # of the weights as they are, whatever they run in
        self.model = model.to(self.device, self.dtype).eval()
        self.spec = spec
        self.name = name
        self.file = file

    @classmethod
    def load(cls, name: str | Path, *, device: str | None = None, precision: str = "auto") -> Embedder:
        """Load ``"dinobloom-s"``, ``"-b"`` or ``"-l"``, or a DinoBloom ``.pth`` file.

        Raises
        ------
        InputError
            If there is no such thing, or the file is damaged or doesn't fit.
        """
        text = str(name)
        if text in hub.DINOBLOOM:
            path = hub.locate(text, hub.DINOBLOOM[text])
        elif Path(name).is_file():
            path = Path(name)
        else:
            raise InputError(f"no encoder {text!r}: give {', '.join(hub.DINOBLOOM)}, or a DinoBloom .pth file")
        model, spec = dinobloom.read_dinobloom(path)
        return cls(model, spec, name=text, file=path.resolve(), device=device, precision=precision)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> Tensor:
        """Tokens, float32 (B, D, G, G), of uint8 images (B, H, W, 3), RGB, 0-255."""
        small = torch.from_numpy(np.stack([prepare(image, self.spec.image_size) for image in images]))
        pixels = normalise(small.to(self.device), dinobloom.MEAN, dinobloom.STD)
        return dinobloom.tokens(self.model, pixels.to(self.dtype)).float()

    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self._digest


class PairedSegmenter(Segmenter):
    """A segmenter whose tokens are another encoder's; everything behind it works as with any other.

    Parameters
    ----------
    segmenter : Segmenter
        Makes the masks.
    embedder : Embedder
        Makes the tokens.
    """

    def __init__(self, segmenter: Segmenter, embedder: Embedder) -> None:
        self.__dict__.update(vars(segmenter))
        self.embedder = embedder

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.embedder.spec.width

    @property
    def grid(self) -> int:
        """Tokens on a side."""
        return self.embedder.spec.grid

    def __call__(self, images: np.ndarray | Tensor) -> SegmenterOutput:
        """Masks of the one, tokens of the other; input as for `Segmenter`."""
        out = super().__call__(images)
        out.tokens = self.embedder(np.asarray(images.cpu() if isinstance(images, Tensor) else images))
        return out

    def grids(self, images: Tensor) -> tuple[Tensor, ...]:
        """The other encoder's tokens alone; input as for `Segmenter.grids`."""
        return (self.embedder(images.cpu().numpy()),)

    def digest(self) -> str:
        """SHA-256 of both networks' weights."""
        return hashlib.sha256((super().digest() + self.embedder.digest()).encode()).hexdigest()

    @property
    def encoder_reference(self) -> dict[str, str]:  # type: ignore[override]
        """Name, file and digest of the encoder, for an adapter file's header."""
        return {"name": self.embedder.name, "file": str(self.embedder.file), "digest": self.embedder.digest()}


def pair(segmenter: Segmenter, encoder: str | Path, **options: Any) -> PairedSegmenter:
    """Give `segmenter` the tokens of `encoder`, as `Embedder.load` takes it."""
    return PairedSegmenter(segmenter, Embedder.load(encoder, **options))


def pair_again(segmenter: Segmenter, held: dict[str, str], path: Path, **options: Any) -> PairedSegmenter:
    """The pair that an adapter file's header names: its encoder where it was, in the weights folder, or by its name."""
    places = [Path(held["file"]), path.parent / Path(held["file"]).name, hub.weights_folder() / Path(held["file"]).name]
    found = next((place for place in places if place.is_file()), held["name"])
    paired = pair(segmenter, found, **options)
    if paired.embedder.digest() != held["digest"]:
        raise InputError(f"{found}: not the weights of {held['name']!r} that {path} was made with: restore those")
    paired.embedder.name = held["name"]
    return paired
