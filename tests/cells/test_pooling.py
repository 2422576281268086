from __future__ import annotations

import numpy as np
import pytest

from dorl.cells.pooling import masked_mean


def test_a_mask_over_some_tokens_averages_just_these() -> None:
    tokens = np.random.default_rng(0).normal(size=(2, 5, 4, 4))
    masks = np.zeros((2, 16, 16), bool)
    masks[0, :4, :8] = True  # the first two tokens of the first row, whole
    masks[1, 12:, 12:] = True
    found = masked_mean(tokens, masks)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(tokens[0, :, 0, :2].mean(1), abs=1e-6)
    assert found[1] == pytest.approx(tokens[1, :, 3, 3], abs=1e-6)


def test_a_token_counts_by_how_much_of_it_is_covered() -> None:
    tokens = np.stack([np.zeros((1, 1, 1)), np.ones((1, 1, 1))], axis=-1).reshape(1, 1, 1, 2).repeat(2, axis=2)
    masks = np.zeros((1, 8, 8), bool)
    masks[0, :, 3:] = True  # a quarter of the left, the whole of the right
    assert masked_mean(tokens, masks)[0, 0] == pytest.approx(0.8)


def test_without_a_cell_all_tokens_weigh_the_same() -> None:
    tokens = np.arange(9.0).reshape(1, 1, 3, 3)
    assert masked_mean(tokens, np.zeros((1, 10, 10), bool))[0, 0] == pytest.approx(4)


def test_a_grid_that_does_not_divide_the_mask() -> None:
    assert masked_mean(np.ones((1, 2, 16, 16)), np.ones((1, 224, 224), bool))[0] == pytest.approx([1, 1])
    assert masked_mean(np.ones((1, 2, 3, 3)), np.ones((1, 10, 10), bool))[0] == pytest.approx([1, 1])
