"""Shape and training of the autoencoder, by the name of a preset."""

from __future__ import annotations

from dorl.representation.config import AutoencoderConfig, heads_for
from dorl.representation.training import TrainingSettings

#: backbones narrower than this take the small preset
WIDE = 384


def preset(name: str, width: int, grid: int) -> tuple[str, AutoencoderConfig, TrainingSettings]:
    """Shape and training for tokens of a backbone.

    Parameters
    ----------
    name : {"auto", "published", "small"}
        ``published`` is the paper's: 12 + 4 blocks, batch 64, 300 epochs, learning rate 1e-4. ``small`` suits the
        narrow tokens of a bundled backbone and a laptop: 4 + 1 blocks, batch 16, at most 500 iterations, learning rate
        5e-4, tokens brought to a standard deviation of 1. ``auto`` is small for backbones narrower than 384 channels.
    width, grid : int
        Tokens are (width, grid, grid).

    Returns
    -------
    name : {"published", "small"}
    shape : AutoencoderConfig
    training : TrainingSettings
    """
    if name == "auto":
        name = "published" if width >= WIDE else "small"
    if name == "published":
        return name, AutoencoderConfig(width=width, heads=heads_for(width), grid=grid), TrainingSettings()
    shape = AutoencoderConfig.scaled(width, grid, depth=4, decoder_depth=1)
    training = TrainingSettings(max_iterations=500, batch_size=16, warmup=50, learning_rate=5e-4, normalise=True)
    return name, shape, training
