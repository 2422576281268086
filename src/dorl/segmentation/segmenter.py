"""LoRA-SAM as users meet it: uint8 images in, tokens and masks out."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.errors import InputError
from dorl.runtime.inference import batch_size
from dorl.runtime.training import default_device, has_bf16
from dorl.segmentation.backbones import Backbone
from dorl.segmentation.checkpoints import (
    SegmenterWeights,
    read_official,
    read_segmenter,
    save_adapter,
    save_official,
)
from dorl.segmentation.embedder import Embedder
from dorl.segmentation.lora import LORA, LoRAQueryValue, add_lora, lora_modules
from dorl.segmentation.pixels import PUBLISHED_MEAN, PUBLISHED_STD, normalise, prepare
from dorl.segmentation.quantised import Quantised
from dorl.tensorfiles import weights_digest

#: what inference may compute in
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


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


class Segmenter:
    """SAM or SAM 2.1 with LoRA, two mask tokens and no prompt.

    Parameters
    ----------
    sam : SamModel or Sam2Model
        As `spec` builds it; with LoRA where ``rank > 0`` was added.
    spec : Backbone
    base : str
        Name of the weights under the adapter, for example ``"tiny"``.
    base_file : str, optional
        File or folder that they were read from, where the name alone doesn't find them.
    mean, std : sequence of 3 floats
        Of the input, RGB on the 0-255 scale.
    device : str, optional
        The GPU where there is one, else the CPU.
    precision : {"auto", "float32", "bfloat16", "int8"}
        For inference; "auto" is bfloat16 where that is faster (a GPU, AMX). "int8" needs a processor and
        ``dorl[fast]``: see `calibrate`.
    embedder : Embedder, optional
        Makes the tokens in place of the network, which makes the masks.
    """

    def __init__(
        self,
        sam: Any,
        spec: Backbone,
        *,
        base: str,
        base_file: str = "",
        mean: Sequence[float] = PUBLISHED_MEAN,
        std: Sequence[float] = PUBLISHED_STD,
        device: str | None = None,
        precision: str = "auto",
        embedder: Embedder | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision {precision!r} is unknown: give {', '.join(PRECISIONS)}")
        self.device = default_device("cpu" if precision == "int8" and device is None else device)
        if precision == "int8" and self.device.type != "cpu":
            raise InputError("int8 is for processors: leave the device out, or choose another precision")
        self.spec = spec
        self.base = base
        self.base_file = base_file
        self.embedder = embedder
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError("mean and std are three numbers each, and std is above 0")
        fast = precision == "bfloat16" or (precision == "auto" and has_bf16(self.device))
        self.dtype = torch.bfloat16 if fast else torch.float32
        self.sam: Any = sam.to(self.device).eval()
        self._integers = precision == "int8"
        self._calibration: Sequence[np.ndarray] | None = None
        self._merged: Any = None
        self._merging = threading.Lock()
        #: that it was made with; the threads of `over_batches` have one each, whoever asks there
        self.threads = torch.get_num_threads()

    @classmethod
    def from_spec(cls, spec: Backbone, *, rank: int = 0, seed: int = 0, **options: Any) -> Segmenter:
        """A segmenter with random weights, mainly for tests."""
        torch.manual_seed(seed)
        segmenter = cls(spec.build(), spec, base="random", **options)
        if rank:
            segmenter.add_lora(rank, seed=seed)
        return segmenter

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        encoder: str | Path | None = None,
        device: str | None = None,
        precision: str = "auto",
    ) -> Segmenter:
        """Load a segmenter by name.

        Parameters
        ----------
        name : str or Path
            ``"tiny"``, which is bundled; ``"sam-vit-b"``, ``"sam-vit-l"``, ``"sam-vit-h"``, ``"sam2.1-hiera-tiny"``,
            ``"…-small"``, ``"…-base-plus"``, ``"…-large"``, or a hub's id of SAM weights: the official file in the
            weights folder (``DORL_WEIGHTS``, else ``~/.cache/dorl``), else the hub's cache, else the hub; a folder in
            hub layout; an official ``.pth`` of SAM; an adapter file; or a run or fine-tuning folder. Published SAM
            weights come with a fresh two-mask decoder, ready for fine-tuning.
        encoder : str or Path, optional
            ``"dinobloom-s"``, ``"-b"``, ``"-l"`` or a DinoBloom ``.pth`` file: the tokens are this network's, the masks
            those of the segmenter.
        device : str, optional
        precision : {"auto", "float32", "bfloat16", "int8"}

        Raises
        ------
        InputError
            If there is no such thing, a file is damaged or doesn't fit, or weights can't be fetched.
        """
        found = read_segmenter(name)
        segmenter = cls._from_weights(found, device=device, precision=precision)
        if encoder is not None:
            segmenter.embedder = Embedder.load(encoder, device=device, precision=precision)
        elif found.encoder is not None and found.adapter is not None:
            segmenter.embedder = Embedder.load_again(found.encoder, found.adapter, device=device, precision=precision)
        return segmenter

    @classmethod
    def from_official(
        cls,
        sam: str | Path,
        adapter: str | Path | None = None,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        image_size: int = 224,
        device: str | None = None,
        precision: str = "auto",
    ) -> Segmenter:
        """Load Meta's SAM checkpoint and the DoRL authors' adapter; equal to the authors' code.

        Parameters
        ----------
        sam : str or Path
            ``sam_vit_{b,l,h}*.pth``. A file that has the published name must have the published SHA-256.
        adapter : str or Path, optional
            ``lora_sam.pth``: LoRA, prompt encoder and two-mask decoder. Without it the two mask tokens and what belongs
            to each are drawn anew, the same at every call, ready for fine-tuning.
        mean, std : sequence of 3 floats, optional
            Of the input, RGB, 0-255; the published adapter's with an adapter, SAM's own without.
        image_size : int, default 224
            Pixels, a multiple of 16; position tables are resampled to it.

        Raises
        ------
        InputError
            If a file is missing or damaged, or has missing, extra or misshapen tensors.
        """
        found = read_official(sam, adapter, mean=mean, std=std, image_size=image_size)
        return cls._from_weights(found, device=device, precision=precision)

    @classmethod
    def _from_weights(cls, found: SegmenterWeights, **options: Any) -> Segmenter:
        return cls(
            found.network,
            found.spec,
            base=found.base,
            base_file=found.base_file,
            mean=found.mean,
            std=found.std,
            **options,
        )

    def save_official(self, path: str | Path) -> None:
        """Write the adapter as the DoRL authors' code saves it; raises InputError where there is none."""
        save_official(self, path)

    def save(self, path: str | Path) -> None:
        """Write the adapter alone, with input mean and std, as safetensors."""
        save_adapter(self, path)

    @property
    def rank(self) -> int:
        """Rank of the LoRA adapter; 0 without one."""
        modules = lora_modules(self.sam)
        return modules[0].q_a.shape[0] if modules else 0

    @property
    def width(self) -> int:
        """Channels of a token."""
        return (self.embedder or self).spec.width

    @property
    def grid(self) -> int:
        """Tokens on a side."""
        return (self.embedder or self).spec.grid

    @property
    def image_size(self) -> int:
        """Side of the network's input, in pixels."""
        return self.spec.image_size

    @property
    def precision(self) -> str:
        """What inference computes in: float32, bfloat16 or int8."""
        return "int8" if self._integers else str(self.dtype).removeprefix("torch.")

    def calibrate(self, images: Sequence[np.ndarray]) -> None:
        """Let int8 be calibrated on these uint8 images (H, W, 3), some dozens of cells, in place of rendered ones."""
        self._calibration = list(images)
        self._merged = None

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
        return normalise(images.to(self.device), self.mean, self.std)

    def forward(self, images: Tensor) -> tuple[Any, Tensor]:
        """Differentiable pass in float32 over the unmerged network.

        Parameters
        ----------
        images : uint8 Tensor of shape (B, S, S, 3)

        Returns
        -------
        hidden : Tensor of shape (B, G, G, D), or what else the family's encoder gives
        logits : Tensor of shape (B, 2, 4·G, 4·G)
        """
        hidden = self.spec.encode(self.sam, self.normalise(images))
        return hidden, self.spec.decode(self.sam, hidden)

    def changed(self) -> None:
        """Tell the segmenter that its weights were trained, so that the merged copy is made anew."""
        self._merged = None

    def base_state(self) -> dict[str, Tensor]:
        """All weights but LoRA's, under the network's own names."""
        state = {name.replace(".qkv.base.", ".qkv."): tensor for name, tensor in self.sam.state_dict().items()}
        return {name: tensor for name, tensor in state.items() if not name.endswith(LORA)}

    def merged(self, dtype: torch.dtype) -> Any:
        """A copy of the network for inference alone: LoRA folded in, in `dtype`, in fewer passes over memory."""
        model = copy.deepcopy(self.sam)
        for module in lora_modules(model):
            module.merge()
        self.spec.for_inference(model)
        memory = torch.channels_last if self.spec.channels_last else torch.preserve_format
        return model.requires_grad_(False).to(dtype).to(memory_format=memory).eval()

    def _for_inference(self) -> Any:
        """`merged` in the dtype of inference, or its `Quantised` copy; made once."""
        with self._merging:
            if self._merged is None and self._integers:
                self._merged = Quantised(self, self._calibration)
            elif self._merged is None:
                self._merged = self.merged(self.dtype)
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
            raise InputError(f"images must be uint8 of shape (B, H, W, 3), not {array.dtype} of shape {array.shape}")
        small = np.stack([prepare(image, self.image_size) for image in array])
        model = self._for_inference()
        tokens, logits = [], []
        for some in torch.from_numpy(small).split(batch_size(self.device)):
            if self._integers:
                found, logit, *_ = model(some)
            else:
                hidden = self.spec.encode(model, self.normalise(some).to(self.dtype))
                found, logit = self.spec.tokens(hidden).float(), self.spec.decode(model, hidden).float()
            tokens.append(found)
            logits.append(logit)
        logit = torch.cat(logits)
        background, cell = F.interpolate(logit, array.shape[1:3], mode="bilinear", align_corners=False).unbind(1)
        masks = cell > background  # the argmax of two, many times faster
        own = torch.cat(tokens) if self.embedder is None else self.embedder(array)
        return SegmenterOutput(own, logit, masks)

    @torch.inference_mode()
    def grids(self, images: Tensor) -> tuple[Tensor, ...]:
        """Every grid of features that the encoder has to give, without the mask decoder's work.

        Parameters
        ----------
        images : uint8 Tensor of shape (B, S, S, 3)
            RGB, 0-255, of the network's own size.

        Returns
        -------
        tuple of float32 Tensor of shape (B, C, H, W)
            The tokens first, then finer grids where the network has them.
        """
        if self.embedder is not None:
            return (self.embedder(images.cpu().numpy()),)
        model = self._for_inference()
        if self._integers:
            tokens, _, *finer = model(images)
            return (tokens, *finer)
        hidden = self.spec.encode(model, self.normalise(images).to(self.dtype))
        return tuple(grid.float() for grid in self.spec.grids(hidden))

    def digest(self) -> str:
        """SHA-256 of all weights and of the input's mean and std; equal digests compute equal tokens."""
        own = weights_digest(self.sam.state_dict(), (self.spec, self.mean, self.std))
        if self.embedder is None:
            return own
        return hashlib.sha256((own + self.embedder.digest()).encode()).hexdigest()
