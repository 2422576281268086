from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dorl.domains.rendered import CELL_CLASSES, STYLES, render_cell
from dorl.errors import InputError
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.sam import build_sam
from dorl.segmentation.losses import overlap_scores, segmentation_loss

from .small import SMALL, assert_agree, noise, render, small_segmenter, train_a_little


@pytest.fixture(scope="module")
def tiny() -> Segmenter:
    return Segmenter.load("tiny", device="cpu", precision="float32")


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    "images",
    [
        noise(2).astype(np.float32),
        noise(2).astype(np.int64),
        noise(1)[0],
        noise(2)[..., :1],
        np.concatenate([noise(2), noise(2)[..., :1]], axis=-1),
        noise(2).transpose(0, 3, 1, 2),
        noise(0),
        noise(2, 0, 64),
        torch.from_numpy(noise(2)).float(),
    ],
    ids=["float", "int64", "one image", "grey", "RGBA", "channels first", "no image", "no height", "float tensor"],
)
def test_what_is_no_batch_of_images_is_refused(images: np.ndarray | torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"uint8 of shape \(B, H, W, 3\)") as caught:
        small_segmenter()(images)
    assert str(tuple(images.shape)) in one_line(caught.value)  # what was given is said too


def test_output_as_the_design_says() -> None:
    segmenter = small_segmenter()
    out = segmenter(noise(3, 50, 90))
    assert (out.tokens.shape, out.tokens.dtype) == ((3, 32, 8, 8), torch.float32)
    assert (out.mask_logits.shape, out.mask_logits.dtype) == ((3, 2, 32, 32), torch.float32)
    assert (out.masks.shape, out.masks.dtype) == ((3, 50, 90), torch.bool)
    assert (segmenter.width, segmenter.grid, segmenter.image_size, segmenter.rank) == (32, 8, 64, 0)


def test_an_array_and_a_tensor_give_the_same() -> None:
    segmenter, images = small_segmenter(), noise(2)
    assert torch.equal(segmenter(images).tokens, segmenter(torch.from_numpy(images)).tokens)


def test_masks_are_the_larger_logit_at_the_size_of_the_image() -> None:
    out = small_segmenter()(noise(2, 100, 70))
    large = F.interpolate(out.mask_logits, (100, 70), mode="bilinear", align_corners=False)
    assert torch.equal(out.masks, large[:, 1] > large[:, 0])


def test_tokens_lie_where_the_picture_changed() -> None:
    # windows of 3 tokens and no global block, so that a token sees no further than its window
    torch.manual_seed(0)
    spec = SMALL.from_dict({**SMALL.to_dict(), "global_blocks": []})
    segmenter = Segmenter(build_sam(spec), spec, base="x", device="cpu", precision="float32")
    image = noise(1)
    other = image.copy()
    other[:, :8, 56:] = 0  # top right
    moved = (segmenter(image).tokens - segmenter(other).tokens).abs().amax(1)[0] > 1e-5
    assert moved[:3, 6:].all()
    assert not moved[3:].any()
    assert not moved[:, :6].any()


def test_the_batch_size_changes_nothing() -> None:
    segmenter, images = small_segmenter(rank=4), noise(5, 70, 60)
    train_a_little(segmenter)
    together = segmenter(images)
    for number in range(5):
        alone = segmenter(images[number : number + 1])
        assert_agree(alone.tokens[0], together.tokens[number])
        assert_agree(alone.mask_logits[0], together.mask_logits[number])
        assert (alone.masks[0] == together.masks[number]).float().mean() > 0.998


def test_input_is_normalised_with_mean_and_std() -> None:
    segmenter = small_segmenter()
    segmenter.mean, segmenter.std = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)
    image = torch.tensor([11, 18, 38], dtype=torch.uint8).expand(1, 64, 64, 3)
    pixels = segmenter.normalise(image)
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels.dtype == torch.float32
    assert pixels[0, :, 5, 7].tolist() == [1, -1, 2]


def test_inference_agrees_with_the_pass_that_is_trained() -> None:
    segmenter, images = small_segmenter(rank=4), noise(2)
    train_a_little(segmenter)
    hidden, logits = segmenter.forward(torch.from_numpy(images))
    out = segmenter(images)
    assert_agree(out.tokens, hidden.permute(0, 3, 1, 2))
    assert_agree(out.mask_logits, logits)


def test_inference_uses_what_was_trained_once_told_so() -> None:
    segmenter, images = small_segmenter(rank=4), noise(2)
    before = segmenter(images)
    train_a_little(segmenter)
    after = segmenter(images)
    assert (after.tokens - before.tokens).abs().max() > 0.1 * before.tokens.std()
    assert (after.mask_logits - before.mask_logits).abs().max() > 0.1 * before.mask_logits.std()
    assert torch.equal(segmenter(images).tokens, after.tokens)


def test_inference_leaves_the_weights_unmerged_and_trainable() -> None:
    segmenter, images = small_segmenter(rank=4), noise(2)
    train_a_little(segmenter)
    digest = segmenter.digest()
    segmenter(images)
    assert segmenter.digest() == digest
    assert segmenter.rank == 4
    _, logits = segmenter.forward(torch.from_numpy(images))
    segmentation_loss(logits, torch.zeros(2, 32, 32, dtype=torch.long)).backward()
    assert sum(p.grad is not None for p in segmenter.sam.parameters()) > 8


def test_the_digest_names_the_weights_and_the_input_scale() -> None:
    same = [small_segmenter(seed=1).digest() for _ in range(2)]
    assert same[0] == same[1]
    seen = {same[0], small_segmenter(seed=2).digest()}
    shifted = small_segmenter(seed=1)
    shifted.mean = (1.0, 2.0, 3.0)
    seen.add(shifted.digest())
    scaled = small_segmenter(seed=1)
    scaled.std = (1.0, 2.0, 3.0)
    seen.add(scaled.digest())
    one_weight = small_segmenter(seed=1)
    with torch.no_grad():
        one_weight.sam.mask_decoder.mask_tokens.weight[1, 3] += 1e-6
    seen.add(one_weight.digest())
    adapted = small_segmenter(seed=1, rank=2)
    seen.add(adapted.digest())
    train_a_little(adapted)
    seen.add(adapted.digest())
    assert len(seen) == 7


def test_a_second_adapter_is_refused() -> None:
    segmenter = small_segmenter(rank=2)
    with pytest.raises(InputError, match="already has an adapter"):
        segmenter.add_lora(4)
    assert segmenter.rank == 2


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"precision": "float16"}, "float16.*give auto, float32, bfloat16, int8"),
        ({"device": "abacus"}, "'abacus' can't be used here: give 'cpu'"),
        ({"mean": (1, 2)}, "three numbers"),
        ({"std": (1, 0, 1)}, "above 0"),
    ],
)
def test_impossible_options_are_refused(options: dict, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        Segmenter(build_sam(SMALL), SMALL, base="x", **options)
    one_line(caught.value)


def test_bfloat16_agrees_with_float32(tiny: Segmenter) -> None:
    half = Segmenter.load("tiny", device="cpu", precision="bfloat16")
    images = np.stack([render(1, style=style, seed=7, size=224)[0].image for style in STYLES])
    expected, out = tiny(images), half(images)
    assert torch.cosine_similarity(out.tokens, expected.tokens, dim=1).min() >= 0.999
    assert overlap_scores(out.masks, expected.masks)[1].min() >= 0.98
    assert not torch.equal(out.tokens, expected.tokens)


def test_tiny_finds_the_cell_in_a_picture_that_is_not_square(tiny: Segmenter) -> None:
    cells = render(4, size=200)
    wide = [np.asarray(Image.fromarray(cell.image).resize((260, 150))) for cell in cells]
    truth = [np.asarray(Image.fromarray(cell.mask).resize((260, 150))) for cell in cells]
    out = tiny(np.stack(wide))
    assert out.masks.shape == (4, 150, 260)
    dice, _ = overlap_scores(out.masks, torch.from_numpy(np.stack(truth)))
    assert dice.mean() > 0.9


@pytest.mark.slow
def test_tiny_segments_labs_it_has_never_seen(tiny: Segmenter) -> None:
    found = {}
    for number, (name, style) in enumerate(STYLES.items()):
        rng = seeded(99, number)
        made = [render_cell(label, style, rng) for label in CELL_CLASSES]
        truth = torch.from_numpy(np.stack([cell.mask for cell in made]))
        found[name] = float(overlap_scores(tiny(np.stack([cell.image for cell in made])).masks, truth)[0].mean())
    assert min(found.values()) >= 0.9, found
