"""LoRA-SAM as users meet it: uint8 images in, tokens and masks out."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import SamModel

from dorl.errors import InputError
from dorl.segmentation.lora import LoRAQueryValue, add_lora, lora_modules
from dorl.segmentation.sam import SamSpec, build_sam, decode, encode
from dorl.training import default_device, has_bf16

#: input mean and standard deviation of the published adapter (RGB, 0-255)
PUBLISHED_MEAN = (215.0322, 187.7592, 200.4668)
PUBLISHED_STD = (41.3047, 56.9191, 21.9522)


@dataclass
class SegmenterOutput:
    """What the segmenter says of B images.

    Attributes
    ----------
    tokens : float32 Tensor of shape (B, D, G, G)
        The ViT's output before SAM's neck.
    mask_logits : float32 Tensor of shape (B, 2, 4·G, 4·G)
        Background and cell.
    masks : bool Tensor of shape (B, H, W)
        Argmax after bilinear upsampling to the size of the images given.
    """

    tokens: Tensor
    mask_logits: Tensor
    masks: Tensor


def prepare(image: np.ndarray, size: int = 224) -> np.ndarray:
    """Resize one uint8 image (H, W, 3) to (size, size, 3), bilinear; a picture that isn't square is squeezed."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


class Segmenter:
    """SAM with LoRA, two mask tokens and no prompt.

    Parameters
    ----------
    sam : SamModel
        As `build_sam` makes it; with LoRA where ``rank > 0`` was added.
    spec : SamSpec
    base : str
        Name of the weights under the adapter, for example ``"tiny"``.
    mean, std : sequence of 3 floats
        Of the input, RGB on the 0-255 scale.
    device : str, optional
        The GPU where there is one, else the CPU.
    precision : {"auto", "float32", "bfloat16"}
        For inference; "auto" is bfloat16 where the processor computes it natively.
    """

    def __init__(
        self,
        sam: SamModel,
        spec: SamSpec,
        *,
        base: str,
        mean: Sequence[float] = PUBLISHED_MEAN,
        std: Sequence[float] = PUBLISHED_STD,
        device: str | None = None,
        precision: str = "auto",
    ) -> None:
        if precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"precision {precision!r} is unknown: give auto, float32 or bfloat16")
        self.device = default_device(device)
        self.spec = spec
        self.base = base
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError("mean and std are three numbers each, and std is above 0")
        fast = precision == "bfloat16" or (precision == "auto" and has_bf16(self.device))
        self.dtype = torch.bfloat16 if fast else torch.float32
        self.sam = sam.to(self.device).eval()
        self._merged: SamModel | None = None

    @classmethod
    def from_spec(cls, spec: SamSpec, *, rank: int = 0, seed: int = 0, **options: object) -> Segmenter:
        """A segmenter with random weights, mainly for tests."""
        torch.manual_seed(seed)
        segmenter = cls(build_sam(spec), spec, base="random", **options)  # type: ignore[arg-type]
        if rank:
            segmenter.add_lora(rank, seed=seed)
        return segmenter

    @classmethod
    def load(cls, name: str | Path, *, device: str | None = None, precision: str = "auto") -> Segmenter:
        """Load the bundled ``"tiny"``, an adapter file (``.safetensors``), or the segmenter of a run folder."""
        from dorl.segmentation.checkpoints import load_segmenter

        return load_segmenter(name, device=device, precision=precision)

    def save(self, path: str | Path) -> None:
        """Write the adapter alone, with input mean and std, as safetensors."""
        from dorl.segmentation.checkpoints import save_adapter

        save_adapter(self, path)

    @property
    def rank(self) -> int:
        """Rank of the LoRA adapter; 0 without one."""
        modules = lora_modules(self.sam)
        return modules[0].q_a.shape[0] if modules else 0

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.spec.width

    @property
    def grid(self) -> int:
        """Tokens on a side."""
        return self.spec.grid

    @property
    def image_size(self) -> int:
        """Side of the network's input, in pixels."""
        return self.spec.image_size

    def add_lora(self, rank: int, *, seed: int = 0) -> list[LoRAQueryValue]:
        """Freeze the encoder and add LoRA of `rank` to query and value of each block."""
        if lora_modules(self.sam):
            raise InputError("this segmenter already has an adapter")
        torch.manual_seed(seed)
        modules = add_lora(self.sam, rank)
        self.sam.to(self.device)
        self._merged = None
        return modules

    def normalise(self, images: Tensor) -> Tensor:
        """From uint8 (B, S, S, 3) to the network's float input (B, 3, S, S)."""
        pixels = images.to(self.device).permute(0, 3, 1, 2).float()
        mean = torch.tensor(self.mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=self.device).view(3, 1, 1)
        return (pixels - mean) / std

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiable pass in float32 over the unmerged network.

        Parameters
        ----------
        images : uint8 Tensor of shape (B, S, S, 3)

        Returns
        -------
        hidden : Tensor of shape (B, G, G, D)
        logits : Tensor of shape (B, 2, 4·G, 4·G)
        """
        hidden = encode(self.sam, self.normalise(images))
        return hidden, decode(self.sam, hidden)

    def changed(self) -> None:
        """Tell the segmenter that its weights were trained, so that the merged copy is made anew."""
        self._merged = None

    def _for_inference(self) -> SamModel:
        """The network with LoRA merged, in the dtype of inference; made once."""
        if self._merged is None:
            model = copy.deepcopy(self.sam)
            for module in lora_modules(model):
                module.merge()
            self._merged = model.to(self.dtype).eval()
        return self._merged

    @torch.inference_mode()
    def __call__(self, images: np.ndarray | Tensor) -> SegmenterOutput:
        """Segment and embed images.

        Parameters
        ----------
        images : uint8 array or Tensor of shape (B, H, W, 3)
            RGB, 0-255, of any size; resized to the network's input.

        Raises
        ------
        InputError
            If the array has another shape or type.
        """
        array = np.asarray(images.cpu() if isinstance(images, Tensor) else images)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
            raise InputError(
                f"images must be uint8 of shape (B, H, W, 3), not {array.dtype} of shape {array.shape}"
            )
        small = np.stack([prepare(image, self.image_size) for image in array])
        model = self._for_inference()
        hidden = encode(model, self.normalise(torch.from_numpy(small)).to(self.dtype))
        logits = decode(model, hidden).float()
        masks = F.interpolate(logits, array.shape[1:3], mode="bilinear", align_corners=False).argmax(1).bool()
        return SegmenterOutput(hidden.permute(0, 3, 1, 2).float(), logits, masks)

    def digest(self) -> str:
        """SHA-256 of all weights and of the input's mean and std; equal digests compute equal tokens."""
        total = hashlib.sha256(repr((self.spec, self.mean, self.std)).encode())
        for name, tensor in sorted(self.sam.state_dict().items()):
            total.update(name.encode())
            total.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()
