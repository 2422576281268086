"""Each loss against a formula of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from dorl.representation.losses import (
    Past,
    agreement_loss,
    kernel_discrepancy,
    mmd_loss,
    ssim,
    token_loss,
    total_loss,
)


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


def test_views_that_agree_cost_less_than_those_that_do_not() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(12, 8, generator=generator)
    lab, cell = torch.arange(12) % 2, torch.arange(12)
    near = agreement_loss(codes, codes + 0.05 * torch.randn(12, 8, generator=generator), lab, cell)
    far = agreement_loss(codes, torch.randn(12, 8, generator=generator), lab, cell)
    assert near < 0.1 < far


def test_other_labs_cells_and_a_cell_drawn_twice_are_no_others() -> None:
    codes = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), dim=1)
    apart = agreement_loss(codes, codes, torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    same_lab = agreement_loss(codes, codes, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]))
    twice = agreement_loss(codes, codes, torch.tensor([0, 0, 1]), torch.tensor([1, 1, 2]))
    assert apart < 0.01
    assert twice < 0.01
    assert same_lab > 0.4


def test_cells_are_told_from_earlier_ones_of_their_lab() -> None:
    past = Past(2, 4, 2, torch.device("cpu"))
    codes = torch.tensor([[1.0, 0.0]])
    first = agreement_loss(codes, codes, torch.tensor([0]), torch.tensor([5]), past=past)
    again = agreement_loss(codes, codes, torch.tensor([0]), torch.tensor([5]), past=past)
    other_lab = agreement_loss(codes, codes, torch.tensor([1]), torch.tensor([6]), past=past)
    assert max(first, again, other_lab) < 1e-4  # nothing but itself is there
    alike = agreement_loss(codes, codes, torch.tensor([0]), torch.tensor([7]), past=past)
    assert alike > 0.6


def test_kernels_see_what_means_do_not() -> None:
    generator = torch.Generator().manual_seed(1)
    narrow, wide = torch.randn(40, 3, generator=generator), 3 * torch.randn(40, 3, generator=generator)
    lab = torch.arange(80) // 40
    apart = kernel_discrepancy(torch.cat([narrow - narrow.mean(0), wide - wide.mean(0)]), lab)
    alike = kernel_discrepancy(torch.randn(80, 3, generator=generator), lab)
    assert apart > 3 * alike
    assert kernel_discrepancy(torch.cat([narrow, narrow]), lab) == pytest.approx(0, abs=1e-6)
    assert kernel_discrepancy(narrow[:6], torch.tensor([0, 0, 0, 1, 1, 1])) == 0  # too few to say
