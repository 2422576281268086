from .autoencoder import CrossDomainAutoencoder
from .config import AutoencoderConfig
from .encoding import encode_cells
from .training import TrainingSettings, train_autoencoder

__all__ = [
    "AutoencoderConfig",
    "CrossDomainAutoencoder",
    "TrainingSettings",
    "encode_cells",
    "train_autoencoder",
]
