"""Official SAM and LoRA files: parity with the official outputs, and files that don't fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dorl.errors import InputError
from dorl.segmentation import SamSpec, Segmenter
from dorl.segmentation.backbones.sam import build_sam
from dorl.segmentation.pixels import PUBLISHED_MEAN, PUBLISHED_STD
from dorl.segmentation.weights.official import official_name, official_spec, read_official_sam

from ..small import noise
from ..stand_ins import OFFICIAL, official_adapter, official_sam, write

OPTIONS: dict[str, Any] = {"image_size": 32, "device": "cpu", "precision": "float32"}
#: what the issue allows, in standard deviations of the official tensor: float32, and entries kept in half precision
SINGLE, HALF = 5e-4, 1e-2


def deviation(found: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference in standard deviations of what is expected."""
    truth = expected.astype(np.float64)
    return float(np.abs(found.double().numpy() - truth).max() / truth.std())


@pytest.mark.shared
@pytest.mark.slow
def test_tokens_and_masks_equal_the_official_ones(official: Path, parity: Path) -> None:
    segmenter = Segmenter.from_official(
        official / "sam_vit_b.pth", official / "lora_sam.pth", device="cpu", precision="float32"
    )
    expected = np.load(parity / "lora_sam.npz")
    out = segmenter(expected["image"])
    upsampled = F.interpolate(out.mask_logits, (224, 224), mode="bilinear", align_corners=False)
    assert deviation(out.tokens, expected["encoder_feature"]) < SINGLE
    assert deviation(out.mask_logits, expected["low_res_logits"]) < SINGLE
    assert deviation(upsampled, expected["mask_logits"]) < HALF
    assert (out.masks.numpy() == (expected["mask_logits"][:, 1] > expected["mask_logits"][:, 0])).mean() > 0.999


@pytest.mark.shared
@pytest.mark.slow
def test_bfloat16_sees_the_same(official: Path, parity: Path, data: Path) -> None:
    """Tokens of real images and logits of the recipe's; the stand-in weights find no cell, so no mask is compared."""
    from dorl.domains import read_domain

    lab = read_domain(data / "JTSC_zheng2018" / "labels.csv")
    images = np.stack([lab.load(i) for i in range(4)])
    drawn = np.load(parity / "lora_sam.npz")["image"]
    paths = official / "sam_vit_b.pth", official / "lora_sam.pth"
    single, half = (Segmenter.from_official(*paths, device="cpu", precision=p) for p in ("float32", "bfloat16"))
    cosine = F.cosine_similarity(single(images).tokens, half(images).tokens, dim=1)
    assert cosine.mean() > 0.999
    logits = single(drawn).mask_logits
    assert (half(drawn).mask_logits - logits).std() < 0.01 * logits.std()


@pytest.mark.shared
def test_bfloat16_finds_the_same_real_cells(data: Path) -> None:
    from dorl.domains import read_domain

    lab = read_domain(data / "JTSC_zheng2018" / "labels.csv")
    images = np.stack([lab.load(i) for i in range(8)])
    single, half = (Segmenter.load("tiny", device="cpu", precision=p)(images) for p in ("float32", "bfloat16"))
    assert F.cosine_similarity(single.tokens, half.tokens, dim=1).mean() > 0.999
    assert overlap(single.masks, half.masks) > 0.99


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Smallest IoU of masks, of which none is empty."""
    assert a.any((1, 2)).all()
    return float(((a & b).sum((1, 2)) / (a | b).sum((1, 2))).min())


def test_the_adapter_alone_brings_the_decoder(tmp_path: Path) -> None:
    sam = write(tmp_path / "sam.pth", official_sam())
    tuned = write(tmp_path / "lora.pth", official_adapter())
    other = write(tmp_path / "other.pth", official_adapter(seed=5))
    images = noise(2, 40, 40)
    first, again, second = (
        Segmenter.from_official(sam, path, **OPTIONS)(images).mask_logits for path in (tuned, tuned, other)
    )
    assert torch.equal(first, again)
    assert (first - second).abs().mean() > 0.1 * first.std()


def test_other_base_weights_give_other_tokens(tmp_path: Path) -> None:
    images = noise(1, 32, 32)
    tokens = [
        Segmenter.from_official(write(tmp_path / f"{seed}.pth", official_sam(seed=seed)), **OPTIONS)(images).tokens
        for seed in (0, 1)
    ]
    assert (tokens[0] - tokens[1]).abs().mean() > 0.1 * tokens[0].std()


def test_every_tensor_of_the_encoder_matters(tmp_path: Path) -> None:
    """A weight that was left unloaded would show no difference."""
    held, images = official_sam(), noise(1, 32, 32)
    reference = Segmenter.from_official(write(tmp_path / "sam.pth", held), **OPTIONS)(images)
    for name in held:
        if name.startswith("image_encoder.") and ".neck." not in name:
            changed = {**held, name: held[name] + torch.randn_like(held[name])}
            out = Segmenter.from_official(write(tmp_path / "changed.pth", changed), **OPTIONS)(images)
            assert not torch.equal(out.tokens, reference.tokens), name


def test_low_rank_matrices_go_to_query_and_value_of_each_block_in_turn(tmp_path: Path) -> None:
    sam, held = official_sam(), official_adapter()
    qkv = "image_encoder.blocks.1.attn.qkv.weight"
    folded, width = dict(sam), OFFICIAL.width
    for block in range(OFFICIAL.depth):
        weight = sam[f"image_encoder.blocks.{block}.attn.qkv.weight"].clone()
        weight[:width] += held[f"w_b_{2 * block:03d}"] @ held[f"w_a_{2 * block:03d}"]
        weight[2 * width :] += held[f"w_b_{2 * block + 1:03d}"] @ held[f"w_a_{2 * block + 1:03d}"]
        folded[f"image_encoder.blocks.{block}.attn.qkv.weight"] = weight
    assert not torch.equal(folded[qkv], sam[qkv])
    images = noise(2, 32, 32)
    tuned = Segmenter.from_official(write(tmp_path / "sam.pth", sam), write(tmp_path / "lora.pth", held), **OPTIONS)(
        images
    )
    published = {"mean": PUBLISHED_MEAN, "std": PUBLISHED_STD}
    plain = Segmenter.from_official(write(tmp_path / "folded.pth", folded), **published, **OPTIONS)(images)
    assert torch.allclose(tuned.tokens, plain.tokens, atol=1e-4 * float(plain.tokens.std()))


def test_without_an_adapter_the_two_masks_are_drawn_and_the_rest_is_kept(tmp_path: Path) -> None:
    held = official_sam()
    path = write(tmp_path / "sam.pth", held)
    first, again = (Segmenter.from_official(path, **OPTIONS) for _ in range(2))
    assert first.digest() == again.digest()
    state = first.sam.state_dict()
    assert state["mask_decoder.mask_tokens.weight"].shape == (2, OFFICIAL.neck)
    for name in (
        "mask_decoder.iou_token.weight",
        "mask_decoder.upscale_conv1.weight",
        "vision_encoder.neck.conv1.weight",
    ):
        assert torch.equal(state[name], held[official_name(name)])
    assert first.rank == 0
    assert first.mean == (123.675, 116.28, 103.53)


def test_an_adapter_written_and_read_again_has_equal_weights(tmp_path: Path) -> None:
    sam, held = write(tmp_path / "sam.pth", official_sam()), official_adapter()
    segmenter = Segmenter.from_official(sam, write(tmp_path / "lora.pth", held), **OPTIONS)
    segmenter.save_official(tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert back.keys() == held.keys()
    assert all(torch.equal(back[name], held[name]) for name in held)


def test_a_segmenter_without_lora_has_nothing_to_write(tmp_path: Path) -> None:
    segmenter = Segmenter.from_official(write(tmp_path / "sam.pth", official_sam()), **OPTIONS)
    with pytest.raises(InputError, match="no LoRA adapter to write"):
        segmenter.save_official(tmp_path / "back.pth")
    assert not (tmp_path / "back.pth").exists()


def test_a_parallel_training_leaves_a_prefix(tmp_path: Path) -> None:
    sam, held = official_sam(), official_adapter()
    prefixed = {f"module.{name}": tensor for name, tensor in held.items()}
    plain, parallel = (
        Segmenter.from_official(write(tmp_path / "sam.pth", sam), write(tmp_path / "lora.pth", tensors), **OPTIONS)
        for tensors in (held, prefixed)
    )
    assert plain.digest() == parallel.digest()


def without(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


BLOCK = "image_encoder.blocks.0.norm1.weight"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda held: without(held, BLOCK), rf"missing {BLOCK} \(1 in all\)"),
        (lambda held: {**held, "extra": torch.zeros(1)}, r"not known extra \(1 in all\)"),
        (lambda held: {**held, BLOCK: torch.zeros(3)}, rf"of another shape {BLOCK} \(1 in all\)"),
        (lambda held: without(held, "image_encoder.pos_embed"), "not a SAM checkpoint in the official layout"),
        (lambda held: {"w": torch.zeros(2)}, "not a SAM checkpoint in the official layout"),
        (lambda held: {}, "holds no named tensors"),
        (lambda held: {**held, BLOCK: torch.zeros(32, dtype=torch.int64)}, "not tensors of weights"),
        (lambda held: [1, 2], "holds no named tensors"),
    ],
)
def test_a_sam_that_does_not_fit_is_refused(tmp_path: Path, change: Any, match: str) -> None:
    path = write(tmp_path / "sam.pth", change(official_sam()))
    with pytest.raises(InputError, match=match) as caught:
        Segmenter.from_official(path, **OPTIONS)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda held: without(held, "w_b_003"), r"missing w_b_003 \(1 in all\)"),
        (lambda held: without(held, "w_a_000"), "w_a_000 is missing"),
        (lambda held: without(held, "mask_decoder.iou_token.weight"), r"missing mask_decoder\.iou_token\.weight"),
        (lambda held: {**held, "w_a_004": torch.zeros(2, 32)}, r"not known w_a_004"),
        (lambda held: {**held, "mask_decoder.mask_tokens.weight": torch.zeros(4, 16)}, "of another shape mask_decoder"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(tmp_path: Path, change: Any, match: str) -> None:
    sam, path = write(tmp_path / "sam.pth", official_sam()), write(tmp_path / "lora.pth", change(official_adapter()))
    with pytest.raises(InputError, match=match) as caught:
        Segmenter.from_official(sam, path, **OPTIONS)
    assert str(caught.value).startswith(f"{path}: ")


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    target = tmp_path / "was_here"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(target)))
    torch.save({"weight": Evil(target)}, tmp_path / "zipped.pth")
    for name in ("plain.pth", "zipped.pth"):
        with pytest.raises(InputError, match=r"was not loaded|not a whole PyTorch file"):
            Segmenter.from_official(tmp_path / name, **OPTIONS)
    assert not target.exists()


@pytest.mark.parametrize(("width", "depth", "heads"), [(1024, 24, 16), (1280, 32, 16)], ids=["ViT-L", "ViT-H"])
def test_the_larger_sams_are_recognised_by_their_tensors(width: int, depth: int, heads: int) -> None:
    """On the meta device: names and shapes without a byte of weights."""
    stride = depth // 4
    spec = SamSpec(
        width=width,
        depth=depth,
        heads=heads,
        image_size=1024,
        global_blocks=tuple(range(stride - 1, depth, stride)),
    )
    with torch.device("meta"):
        state = build_sam(spec, masks=4).state_dict()
    held = {official_name(name): tensor for name, tensor in state.items()}
    assert official_spec(held, "sam.pth") == (spec, 4)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "heads"), [(1024, 16), (1280, 16)], ids=["ViT-L", "ViT-H"])
def test_full_width_runs_with_few_blocks(tmp_path: Path, width: int, heads: int) -> None:
    spec = SamSpec(width=width, depth=2, heads=heads, image_size=1024, global_blocks=(1,))
    path = write(tmp_path / "sam.pth", official_sam(spec))
    segmenter = Segmenter.from_official(path, device="cpu", precision="float32")
    out = segmenter(noise(1, 224, 224))
    assert out.tokens.shape == (1, width, 14, 14)
    assert out.mask_logits.shape == (1, 2, 56, 56)
    assert out.mask_logits.isfinite().all()


def test_the_image_size_is_a_multiple_of_the_patch(tmp_path: Path) -> None:
    path = write(tmp_path / "sam.pth", official_sam())
    with pytest.raises(InputError, match=r"image size 33 is no multiple of the patch of 8 pixels"):
        read_official_sam(path, image_size=33)
