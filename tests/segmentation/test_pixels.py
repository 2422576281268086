from __future__ import annotations

import numpy as np
import torch

from dorl.segmentation.pixels import normalise, prepare


def test_prepare_squeezes_a_picture_that_is_not_square() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = 200
    out = prepare(image, 64)
    assert out.shape == (64, 64, 3)
    assert (out[:, :30] == 0).all()
    assert (out[:, 34:] == 200).all()
    np.testing.assert_array_equal(prepare(out, 64), out)


def test_normalise_takes_mean_and_deviation_of_each_channel() -> None:
    images = torch.tensor([11, 18, 38], dtype=torch.uint8).expand(2, 4, 6, 3)
    pixels = normalise(images, (10.0, 20.0, 30.0), (1.0, 2.0, 4.0))
    assert pixels.shape == (2, 3, 4, 6)
    assert pixels.dtype == torch.float32
    for channel, value in enumerate((1.0, -1.0, 2.0)):
        assert (pixels[:, channel] == value).all()
