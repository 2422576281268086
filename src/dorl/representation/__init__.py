"""Stage 2: the cross-domain autoencoder turns tokens into features that are alike from lab to lab.

Names are imported when first used: what classifiers take from here (`discriminant`, `clusters`) needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorl.representation.autoencoder import CrossDomainAutoencoder
    from dorl.representation.config import AutoencoderConfig
    from dorl.representation.encoding import encode_cells
    from dorl.representation.training import TrainingSettings, train_autoencoder

_WHERE = {
    "AutoencoderConfig": "config",
    "CrossDomainAutoencoder": "autoencoder",
    "encode_cells": "encoding",
    "TrainingSettings": "training",
    "train_autoencoder": "training",
}

__all__ = [
    "AutoencoderConfig",
    "CrossDomainAutoencoder",
    "TrainingSettings",
    "encode_cells",
    "train_autoencoder",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"dorl.representation.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
