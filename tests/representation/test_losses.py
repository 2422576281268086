"""Each loss against a formula of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from dorl.representation.losses import mmd_loss, ssim, token_loss, total_loss


def pictures(seed: int, *, batch: int = 2) -> torch.Tensor:
    """Noise of several scales, 0-1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 5, 6, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(coarse, (40, 48), mode="bilinear")
    return 0.8 * smooth + 0.2 * torch.rand(batch, 3, 40, 48, generator=generator, dtype=torch.float64)


def reference_map(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """scikit-image's map of (3, H, W); a black frame makes its border the zero padding of the published loss."""
    framed = [np.pad(image.numpy(), ((0, 0), (10, 10), (10, 10))) for image in (a, b)]
    _, full = structural_similarity(
        *framed,
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return full[:, 10:-10, 10:-10]


def test_equal_images_are_1() -> None:
    a = pictures(0)
    assert ssim(a, a).item() == pytest.approx(1, abs=1e-12)
    assert ssim(a.float(), a.float()).item() == pytest.approx(1, abs=1e-5)
    assert ssim(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)).item() == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_ssim_agrees_with_scikit_image(share: float) -> None:
    a = pictures(0)
    b = (1 - share) * a + share * pictures(1)
    expected = np.mean([reference_map(one, other).mean() for one, other in zip(a, b, strict=True)])
    assert 0 < expected < 0.999
    assert ssim(a, b).item() == pytest.approx(expected, abs=1e-9)
    assert ssim(a.float(), b.float()).item() == pytest.approx(expected, abs=1e-4)


def test_ssim_of_the_opposite_is_negative() -> None:
    a = pictures(0)
    a = 0.5 + 0.5 * (a - a.mean((2, 3), keepdim=True))
    assert ssim(a, 1 - a).item() == pytest.approx(np.mean([reference_map(x, 1 - x).mean() for x in a]), abs=1e-9)
    assert ssim(a, 1 - a).item() < 0


def test_ssim_leads_an_image_to_the_other() -> None:
    target = pictures(0)
    image = pictures(1).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.05)
    before = ssim(image, target).item()
    for _ in range(5):
        optimizer.zero_grad()
        (1 - ssim(image, target)).backward()
        optimizer.step()
    assert ssim(image, target).item() > before + 0.1


Z = torch.tensor([[0.0, 0.0], [2.0, 4.0], [3.0, 2.0], [1.0, 0.0], [5.0, 6.0]])


def test_mmd_of_two_labs_by_hand() -> None:
    # means (1, 2) and (3, 8/3)
    assert mmd_loss(Z, torch.tensor([0, 0, 1, 1, 1])).item() == pytest.approx((4 + 4 / 9) / 2)


def test_mmd_of_three_labs_adds_those_to_the_first() -> None:
    # means (1, 2), (2, 1), (5, 6): (1 + 1) / 2 and (16 + 16) / 2; lab 1 and lab 4 aren't compared with each other
    assert mmd_loss(Z, torch.tensor([0, 0, 1, 1, 4])).item() == pytest.approx(1 + 16)
    shuffled = [4, 2, 0, 3, 1]
    assert mmd_loss(Z[shuffled], torch.tensor([0, 0, 1, 1, 4])[shuffled]).item() == pytest.approx(17)


@pytest.mark.parametrize("domain", [[0] * 5, [1] * 5, [1, 1, 2, 2, 2]])
def test_mmd_with_nothing_to_compare_is_0(domain: list[int]) -> None:
    assert mmd_loss(Z, torch.tensor(domain)).item() == 0


def test_mmd_looks_at_means_alone() -> None:
    same_mean = torch.tensor([[0.0], [4.0], [1.0], [3.0]])
    assert mmd_loss(same_mean, torch.tensor([0, 0, 1, 1])).item() == 0


def test_mmd_draws_labs_together() -> None:
    z = Z.clone().requires_grad_()
    mmd_loss(z, torch.tensor([0, 0, 1, 1, 1])).backward()
    assert z.grad is not None
    # lab 0 has the lower means: it is led up, lab 1 down
    assert (z.grad[:2] < 0).all()
    assert (z.grad[2:] > 0).all()


def test_token_loss_is_the_mean_of_the_squares() -> None:
    tokens, out = torch.randn(2, 5, 3, 3), torch.randn(2, 5, 3, 3)
    assert token_loss(tokens, out).item() == pytest.approx(float(np.mean((tokens - out).numpy() ** 2)), rel=1e-5)


def test_total_is_the_published_sum() -> None:
    terms = (torch.tensor(0.4), torch.tensor(0.3), torch.tensor(5.0))
    assert total_loss(*terms).item() == pytest.approx(0.4 + 2 * (0.3 + 0.5 * 5.0))
