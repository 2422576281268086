"""Stage 2: the cross-domain autoencoder turns tokens into features that are alike from lab to lab."""

from dorl.representation.autoencoder import AutoencoderConfig, CrossDomainAutoencoder
from dorl.representation.encoding import encode_cells
from dorl.representation.training import TrainingSettings, train_autoencoder

__all__ = [
    "AutoencoderConfig",
    "CrossDomainAutoencoder",
    "TrainingSettings",
    "encode_cells",
    "train_autoencoder",
]
