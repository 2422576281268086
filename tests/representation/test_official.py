"""The authors' autoencoder file: parity with the official outputs, and files that don't fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder
from dorl.representation.losses import mmd_loss, ssim, token_loss, total_loss

#: what is allowed, in standard deviations of the official tensor: float32, and entries kept in half precision
SINGLE, HALF = 5e-4, 1e-2
#: of the official layout, small: one head, 3×3 tokens
SMALL = AutoencoderConfig(
    width=24, depth=2, heads=1, decoder_depth=1, grid=3, z_width=5, image_channels=(8, 8, 4, 4), image_size=128
)


def deviation(found: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference in standard deviations of what is expected; of a single number, in its own size."""
    truth = expected.astype(np.float64)
    return float(np.abs(found.double().numpy() - truth).max() / (truth.std() or abs(truth)))


@pytest.mark.shared
@pytest.mark.slow
def test_every_output_and_loss_equals_the_official_one(official: Path, parity: Path, recipe: ModuleType) -> None:
    model = CrossDomainAutoencoder.from_official(official / "cae.mdl", device="cpu")
    expected = np.load(parity / "cae.npz")
    tokens = torch.from_numpy(recipe.tokens(7))
    uniform = np.random.Generator(np.random.Philox(9)).random((3, 3, 128, 128), dtype=np.float32)
    target = torch.from_numpy(uniform)
    cells = torch.from_numpy(recipe.image(7, 3, 128)).permute(0, 3, 1, 2).float() / 255
    keep = torch.from_numpy(expected["keep_order"].astype(np.int64))[:, :49]
    with torch.inference_mode():
        encoded = model.encoder(model._flat(tokens))
        whole, masked = model(tokens), model(tokens, keep)
        domains = torch.from_numpy(expected["mmd_domain"])
        found = {
            "cls_unmasked": model.encode(tokens),
            "tokens_unmasked": encoded[:, 1:],
            "z_unmasked": whole.z,
            "image_unmasked": whole.image,
            "z_masked": masked.z,
            "image_masked": masked.image,
            "features_masked": masked.tokens.flatten(2),
            "mmd": mmd_loss(torch.from_numpy(expected["mmd_z"]), domains),
            "rec": token_loss(tokens, masked.tokens),
            "ssim": ssim(masked.image, target),
            "ssim_cells": ssim(cells, 0.8 * cells + 0.2 * target),
            "total": total_loss(
                1 - ssim(masked.image, target),
                mmd_loss(masked.z, torch.arange(3)),
                token_loss(tokens, masked.tokens),
            ),
        }
    assert set(found) | {"keep_order", "mmd_z", "mmd_domain", "ssim_target_seed"} == set(expected.files)
    for name, tensor in found.items():
        allowed = HALF if expected[name].dtype == np.float16 else SINGLE
        assert deviation(tensor, expected[name]) < allowed, name


@pytest.fixture
def held(tmp_path: Path) -> dict[str, torch.Tensor]:
    """A small autoencoder as the authors' code saves it."""
    torch.manual_seed(0)
    CrossDomainAutoencoder(SMALL).save_official(tmp_path / "cae.mdl")
    return torch.load(tmp_path / "cae.mdl", weights_only=True)


def test_positions_and_the_last_layer_have_their_official_form(held: dict[str, torch.Tensor]) -> None:
    assert held["encoder.pos_embedding"].shape == (9, 1, 24)
    assert held["decoder.pos_embedding"].shape == (10, 1, 24)
    assert held["decoder.Linear.weight"].shape == (5, 24)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_written_and_read_again_has_equal_weights(
    held: dict[str, torch.Tensor], tmp_path: Path, prefix: str
) -> None:
    torch.save({f"{prefix}{name}": tensor for name, tensor in held.items()}, tmp_path / "again.mdl")
    model = CrossDomainAutoencoder.from_official(tmp_path / "again.mdl", device="cpu")
    assert model.config == SMALL
    model.save_official(tmp_path / "back.mdl")
    back = torch.load(tmp_path / "back.mdl", weights_only=True)
    assert back.keys() == held.keys()
    assert all(torch.equal(back[name], held[name]) for name in held)


def test_other_weights_give_another_feature(held: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tokens, features = torch.randn(1, 24, 3, 3), []
    for change in (0.0, 1.0):
        changed = {**held, "encoder.cls_token": held["encoder.cls_token"] + change * torch.randn(1, 1, 24)}
        torch.save(changed, tmp_path / "cae.mdl")
        features.append(CrossDomainAutoencoder.from_official(tmp_path / "cae.mdl", device="cpu").encode(tokens))
    assert not torch.allclose(*features)


def test_a_token_scale_is_worked_into_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CrossDomainAutoencoder(replace(SMALL, token_scale=30.0)).eval()
    torch.nn.init.normal_(model.encoder.cls_token, std=0.5)
    tokens = 30 * torch.randn(4, 24, 3, 3)
    model.save_official(tmp_path / "cae.mdl")
    read = CrossDomainAutoencoder.from_official(tmp_path / "cae.mdl", device="cpu")
    assert read.config.token_scale == 1
    torch.testing.assert_close(read.encode(tokens), model.encode(tokens), rtol=1e-3, atol=1e-4)


def test_heads_that_the_layout_does_not_tell_are_not_written(tmp_path: Path) -> None:
    model = CrossDomainAutoencoder(AutoencoderConfig(width=24, depth=1, heads=3, decoder_depth=1, grid=2))
    with pytest.raises(InputError, match="can't be written so"):
        model.save_official(tmp_path / "cae.mdl")
    assert list(tmp_path.iterdir()) == []


BIAS = "encoder.transformer.0.mlp.fc1.bias"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda held: held.pop(BIAS), f"missing {BIAS}"),
        (lambda held: held.update(extra=torch.zeros(1)), "not known extra"),
        (lambda held: held.update({BIAS: torch.zeros(2)}), f"of another shape {BIAS}"),
        (lambda held: held.pop("encoder.cls_token"), "not an autoencoder in the official layout"),
        (lambda held: held.clear(), "holds no named tensors"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    held: dict[str, torch.Tensor], tmp_path: Path, change: Any, match: str
) -> None:
    change(held)
    torch.save(held, tmp_path / "bad.mdl")
    with pytest.raises(InputError, match=match) as caught:
        CrossDomainAutoencoder.from_official(tmp_path / "bad.mdl")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.mdl'}: ")
    assert "\n" not in str(caught.value)
