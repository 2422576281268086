"""Encoders that embed cells but segment none: a segmenter takes their tokens beside its own masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.runtime.training import default_device, has_bf16
from dorl.segmentation.backbones import dinobloom
from dorl.segmentation.pixels import normalise, prepare
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

    def reference(self) -> dict[str, str]:
        """Name, file and digest, for an adapter file's header."""
        return {"name": self.name, "file": str(self.file), "digest": self.digest()}

    @classmethod
    def load_again(cls, reference: dict[str, str], adapter: Path, **options: Any) -> Embedder:
        """Load what `reference` gave: its file where it was, beside the `adapter`, in the weights folder, or by name.

        Raises
        ------
        InputError
            If it isn't found, or its weights have changed.
        """
        file = Path(reference["file"])
        places = [file, adapter.parent / file.name, hub.weights_folder() / file.name]
        found = next((place for place in places if place.is_file()), reference["name"])
        embedder = cls.load(found, **options)
        if embedder.digest() != reference["digest"]:
            name = reference["name"]
            raise InputError(f"{found}: not the weights of {name!r} that {adapter} was made with: restore those")
        embedder.name = reference["name"]
        return embedder
