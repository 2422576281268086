from __future__ import annotations

import pytest

from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, TrainingSettings
from dorl.run.presets import (
    ANEW,
    TUNED,
    autoencoder_settings,
    cell_settings,
    check_seed,
    shape_and_learning,
    shape_and_training,
)
from dorl.segmentation import Segmenter


class Backbone:
    """As much of a segmenter as the presets look at."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.grid = 14


def backbone(width: int) -> Segmenter:
    return Backbone(width)  # type: ignore[return-value]


def test_published_is_the_papers_shape_and_training() -> None:
    shape, training = shape_and_training(autoencoder_settings(backbone(768), "published"))
    assert (shape.width, shape.depth, shape.heads, shape.decoder_depth, shape.z_width) == (768, 12, 12, 4, 50)
    assert (shape.mask_ratio, shape.image_channels, shape.image_size) == (0.75, (512, 256, 128, 64), 128)
    assert (training.epochs, training.batch_size, training.warmup) == (300, 64, 500)
    assert (training.learning_rate, training.weight_decay, training.max_iterations) == (1e-4, 0.05, None)
    assert shape == AutoencoderConfig()
    assert training == TrainingSettings()


@pytest.mark.parametrize(("width", "preset"), [(192, "small"), (320, "small"), (384, "published"), (768, "published")])
def test_auto_goes_by_the_backbones_width(width: int, preset: str) -> None:
    settings = autoencoder_settings(backbone(width))
    assert (settings.preset, settings.width) == (preset, width)


@pytest.mark.parametrize("preset", ["published", "small"])
@pytest.mark.parametrize("width", [96, 192, 384, 640, 768, 1024, 1280])
def test_every_width_divides_into_its_heads(width: int, preset: str) -> None:
    shape, _ = shape_and_training(autoencoder_settings(backbone(width), preset))
    assert shape.width % shape.heads == 0


def test_small_ends_on_a_laptop_unless_told_otherwise() -> None:
    tiny = backbone(192)
    assert autoencoder_settings(tiny, "small").max_iterations == 500
    assert autoencoder_settings(tiny, "small", iterations=7).max_iterations == 7
    longer = autoencoder_settings(tiny, "small", epochs=500)
    assert (longer.epochs, longer.max_iterations) == (500, 0)
    assert shape_and_training(longer)[1].max_iterations is None
    both = autoencoder_settings(tiny, "small", epochs=500, iterations=9)
    assert (both.epochs, both.max_iterations) == (500, 9)


def test_wrong_numbers_and_names_are_told() -> None:
    with pytest.raises(InputError, match="auto, published, small"):
        autoencoder_settings(backbone(192), "best")
    with pytest.raises(InputError, match="epochs is 0"):
        autoencoder_settings(backbone(192), epochs=0)
    with pytest.raises(InputError, match="iterations is -1"):
        autoencoder_settings(backbone(192), iterations=-1)


def test_an_autoencoder_of_cells_is_tuned_or_begins_anew() -> None:
    shape = AutoencoderConfig.of_cells(322, 14, (40, 24))
    tuned, anew = cell_settings(shape, start="abc"), cell_settings(shape, start="")
    assert shape_and_learning(tuned) == (shape, TUNED)
    assert shape_and_learning(anew) == (shape, ANEW)
    assert shape_and_learning(cell_settings(shape, start="abc", iterations=0))[1].steps == 0
    with pytest.raises(InputError, match="give 1 or more"):
        cell_settings(shape, start="", iterations=0)


def test_a_seed_is_one_that_every_library_takes() -> None:
    check_seed(0)
    check_seed(2**32 - 1)
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=f"seed is {seed}"):
            check_seed(seed)
