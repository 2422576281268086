"""Shapes, masking, and the autoencoder's file."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder
from dorl.tensorfiles import save_tensors

TINY = AutoencoderConfig(
    width=16, depth=2, heads=2, decoder_depth=1, grid=4, z_width=5, image_channels=(8, 8, 8, 8), image_size=24
)


def make(config: AutoencoderConfig = TINY, seed: int = 0) -> CrossDomainAutoencoder:
    torch.manual_seed(seed)
    return CrossDomainAutoencoder(config).eval()


def tokens(batch: int = 3, config: AutoencoderConfig = TINY) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, config.width, config.grid, config.grid, generator=generator)


def test_published_shapes() -> None:
    with torch.device("meta"):
        model = CrossDomainAutoencoder()
        x = torch.empty(2, 768, 14, 14)
    keep = model.draw_keep(2).to("meta")
    assert keep.shape == (2, 49)
    assert model.encoder(x.flatten(2).transpose(1, 2), keep).shape == (2, 50, 768)
    assert model.encode(x).shape == (2, 768)
    layers = [layer for layer in model.decoder.head if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in layers] == [512, 256, 128, 64, 3]
    # the transposed convolutions give 128 pixels by themselves, without a resize
    assert model.decoder.head(x).shape == (2, 3, 128, 128)
    out = model(x, keep)
    assert out.tokens.shape == (2, 768, 14, 14)
    assert out.image.shape == (2, 3, 128, 128)
    assert out.z.shape == (2, 50)


def test_published_size() -> None:
    with torch.device("meta"):
        model = CrossDomainAutoencoder()
    block = 4 * 768**2 + 768 + 8 * 768**2 + 5 * 768 + 4 * 768  # no bias on query, key and value
    encoder = 12 * block + (1 + 196) * 768 + 2 * 768
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.decoder.transformer.parameters()) == 4 * block
    assert model.decoder.pos_embedding.shape == (1, 197, 768)


@pytest.mark.parametrize(
    ("width", "grid", "heads", "image_size"), [(16, 4, 2, 24), (8, 1, 1, 128), (12, 7, 3, 32), (96, 14, 3, 128)]
)
def test_small_shapes(width: int, grid: int, heads: int, image_size: int) -> None:
    channels = (8, 8, 8, 8)
    config = AutoencoderConfig(
        width=width, depth=1, heads=heads, decoder_depth=1, grid=grid, image_channels=channels, image_size=image_size
    )
    model, x = make(config), tokens(2, config)
    for keep in (None, model.draw_keep(2)):
        out = model(x, keep)
        assert out.tokens.shape == x.shape
        assert out.image.shape == (2, 3, image_size, image_size)
        assert out.z.shape == (2, 50)
    assert model.encode(x).shape == (2, width)


@pytest.mark.parametrize("width", [16, 96, 192, 256])
def test_scaled_shrinks_with_the_width(width: int) -> None:
    config = AutoencoderConfig.scaled(width, 14, depth=4, decoder_depth=2)
    assert (config.width, config.depth, config.decoder_depth, config.mask_ratio, config.grid) == (width, 4, 2, 0.75, 14)
    assert config.image_size == 128
    assert width % config.heads == 0
    published = AutoencoderConfig().image_channels
    assert all(8 <= own < other for own, other in zip(config.image_channels, published, strict=True))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"width": 10, "heads": 3}, "10 is not a multiple of 3"),
        ({"mask_ratio": 1.0}, "1.0"),
        ({"mask_ratio": -0.1}, "-0.1"),
    ],
)
def test_a_shape_that_can_not_be(values: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        AutoencoderConfig(**values)


@pytest.mark.parametrize(("ratio", "kept"), [(0.75, 49), (0.5, 98), (0.0, 196), (0.999, 1)])
def test_draw_keep_has_its_share_of_positions(ratio: float, kept: int) -> None:
    with torch.device("meta"):
        model = CrossDomainAutoencoder(AutoencoderConfig(mask_ratio=ratio, depth=1, decoder_depth=1))
    keep = model.draw_keep(5, torch.Generator().manual_seed(0))
    assert keep.shape == (5, kept)
    assert all(len(set(row)) == kept and set(row) <= set(range(196)) for row in keep.tolist())


def test_draw_keep_is_another_for_each_image_and_the_same_for_a_seed() -> None:
    model = make()
    keep = model.draw_keep(40, torch.Generator().manual_seed(1))
    assert torch.equal(keep, model.draw_keep(40, torch.Generator().manual_seed(1)))
    assert not torch.equal(keep, model.draw_keep(40, torch.Generator().manual_seed(2)))
    assert len({tuple(sorted(row)) for row in keep.tolist()}) > 20
    often = model.draw_keep(4000, torch.Generator().manual_seed(3)).flatten().bincount(minlength=16)
    assert often.float().div(4000).sub(0.25).abs().max() < 0.05  # no position is favoured


def test_hidden_tokens_have_no_influence() -> None:
    model, x = make(), tokens()
    keep = model.draw_keep(len(x), torch.Generator().manual_seed(0))
    hidden = torch.ones(len(x), 16, dtype=torch.bool).scatter(1, keep, False).view(-1, 1, 4, 4)
    changed = torch.where(hidden, torch.full_like(x, float("nan")), x)
    with torch.inference_mode():
        for before, after in zip(model(x, keep), model(changed, keep), strict=True):
            assert torch.equal(before, after)
        # and each visible one has some
        for position in keep[0].tolist():
            one = x.clone()
            one[0, 0, position // 4, position % 4] += 1
            assert not torch.allclose(model(one, keep).z[0], model(x, keep).z[0])


def test_the_order_of_keep_does_not_matter() -> None:
    model, x = make(), tokens()
    keep = model.draw_keep(len(x), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for one, other in zip(model(x, keep), model(x, keep.flip(1)), strict=True):
            torch.testing.assert_close(one, other)


def test_keeping_all_is_hiding_nothing() -> None:
    model, x = make(), tokens()
    everything = torch.stack([torch.randperm(16) for _ in x])
    with torch.inference_mode():
        for one, other in zip(model(x), model(x, everything), strict=True):
            torch.testing.assert_close(one, other)


def test_a_visible_token_goes_back_to_its_own_place() -> None:
    """Without blocks the decoder gives each position's token back as it came, and the mask token elsewhere."""
    model, x = make(), tokens()
    model.encoder.transformer, model.decoder.transformer = nn.Sequential(), nn.Sequential()
    keep = model.draw_keep(len(x), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        out = model(x, keep).tokens.flatten(2).transpose(1, 2)
        whole = model.encoder(x.flatten(2).transpose(1, 2))[:, 1:]
    for row in range(len(x)):
        for position in range(16):
            visible = position in keep[row].tolist()
            token = whole[row, position] if visible else model.decoder.mask_token[0, 0]
            torch.testing.assert_close(out[row, position], token + model.decoder.pos_embedding[0, position + 1])


def test_the_place_of_a_token_counts() -> None:
    model, x = make(), tokens()
    assert not torch.allclose(model.encode(x), model.encode(x.flip(-1)), atol=1e-4)
    assert not torch.allclose(model.encode(x), model.encode(x.transpose(2, 3)), atol=1e-4)


def test_blocks_agree_with_pytorchs_own() -> None:
    block = make().encoder.transformer[0]
    own = nn.TransformerEncoderLayer(16, 2, 64, dropout=0, activation="gelu", batch_first=True, norm_first=True).eval()
    own.load_state_dict(
        {
            "self_attn.in_proj_weight": block.attn.qkv.weight,
            "self_attn.in_proj_bias": torch.zeros(48),
            "self_attn.out_proj.weight": block.attn.proj.weight,
            "self_attn.out_proj.bias": block.attn.proj.bias,
            "linear1.weight": block.mlp.fc1.weight,
            "linear1.bias": block.mlp.fc1.bias,
            "linear2.weight": block.mlp.fc2.weight,
            "linear2.bias": block.mlp.fc2.bias,
            **{f"norm{n}.{p}": getattr(getattr(block, f"norm{n}"), p) for n in (1, 2) for p in ("weight", "bias")},
        }
    )
    x = torch.randn(2, 7, 16)
    with torch.inference_mode():
        torch.testing.assert_close(block(x), own(x), atol=1e-5, rtol=1e-5)


def test_encode_is_the_class_token_with_nothing_hidden() -> None:
    model, x = make(), tokens()
    with torch.inference_mode():
        expected = model.encoder(x.flatten(2).transpose(1, 2))[:, 0]
    assert torch.equal(model.encode(x), expected)
    assert model.encode(x.half()).dtype == torch.float32
    torch.testing.assert_close(model.encode(x)[1:2], model.encode(x[1:2]))


def test_z_is_the_mean_over_positions_through_a_linear_layer() -> None:
    model, x = make(), tokens()
    with torch.inference_mode():
        out = model(x)
        torch.testing.assert_close(out.z, model.decoder.to_z(out.tokens.mean((2, 3))))


@pytest.mark.parametrize("shape", [(1, 8, 4, 4), (1, 16, 4, 5), (1, 16, 16)])
def test_tokens_of_another_shape(shape: tuple[int, ...]) -> None:
    for use in (make().encode, make()):
        with pytest.raises(InputError, match=r"tokens of shape .*, this autoencoder takes \(16, 4, 4\)"):
            use(torch.zeros(shape))


def test_saving_brings_back_the_same_features(tmp_path: Path) -> None:
    model, x = make(), tokens()
    model.save(tmp_path / "a.safetensors", seed=3)
    again = CrossDomainAutoencoder.load(tmp_path / "a.safetensors", device="cpu")
    assert again.config == model.config
    assert not again.training
    assert torch.equal(again.encode(x), model.encode(x))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def assert_refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        CrossDomainAutoencoder.load(path, device="cpu")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_load_refuses_a_missing_a_short_and_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert_refused(path, "no such file")
    make().save(path)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(path, "not a whole safetensors file")


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"kind": "segmenter"}, "not an autoencoder's file"),
        ({}, "not an autoencoder's file"),
        ({"format": 99}, "layout 99, this dorl reads 1: train it again"),
        ({"config": None}, "describes no autoencoder"),
        ({"config": {"width": 16}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "gird": 4}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "width": "wide"}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "width": 15}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "width": -16}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "heads": 0}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "depth": 1.5}}, "describes no autoencoder"),
        ({"config": {**asdict(TINY), "image_channels": [8, 8, 8]}}, "describes no autoencoder"),
    ],
)
def test_load_refuses_another_header(tmp_path: Path, header: dict[str, Any], match: str) -> None:
    whole = {"kind": "autoencoder", "format": 1, "config": asdict(TINY), "notes": {}}
    save_tensors(tmp_path / "a.safetensors", make().state_dict(), {**whole, **header} if header else {})
    assert_refused(tmp_path / "a.safetensors", match)


def test_load_refuses_weights_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = {"kind": "autoencoder", "format": 1, "config": asdict(TINY)}
    weights = make().state_dict()
    missing = {name: tensor for name, tensor in weights.items() if name != "encoder.cls_token"}
    for wrong in (
        missing,
        {**weights, "encoder.cls_token": torch.zeros(1, 1, 8)},
        {**missing, "encoder.class_token": weights["encoder.cls_token"]},
    ):
        save_tensors(path, wrong, header)
        assert_refused(path, r"tensors that don't fit the network: .*encoder\.cl(s|ass)_token")


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_load_runs_no_code_of_the_file(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "a.safetensors", tmp_path / "trace"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(trace)))
    else:
        torch.save({"state_dict": Trap(trace)}, path)
    assert_refused(path, "not a whole safetensors file")
    assert not trace.exists()


#: of cells: two channels of tokens, and mean and deviation of two finer ones
CELLS = replace(TINY, channels=8, seen=12, finer=(1, 1), feature="aligned")


def cell_tokens(batch: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(batch, 8, 4, 4, generator=generator)
    found[:, [3, 5]] = found[:, [3, 5]].abs()  # deviations
    found[:, -2:] = 0
    found[:, -2, 1:4, 1:4] = 1
    found[:, -1, 1:3, 1:3] = 1
    return found


def test_a_description_tells_each_channel_in_the_parts_of_the_cell() -> None:
    model, x = make(CELLS), cell_tokens(3)
    assert model.encoder.cell is not None
    model.encoder.cell.shift.copy_(torch.arange(6.0))
    model.encoder.cell.scale.copy_(1 + torch.arange(6.0))
    found = model.describe(x).view(3, 4, 4)  # what is told × channel
    places = [0, 1, 2, 4]
    inside, nucleus = x[:, places, 1:4, 1:4].flatten(2), x[:, places, 1:3, 1:3].flatten(2)
    cytoplasm = torch.cat([x[:, places, 3, 1:4], x[:, places, 1:3, 3]], 2)
    shift, scale = torch.tensor(places), 1 + torch.tensor(places)
    for told, part in ((0, inside), (2, nucleus), (3, cytoplasm)):
        torch.testing.assert_close(found[:, told], (part.mean(2) - shift) / scale, atol=2e-3, rtol=1e-3)
    within = torch.stack(
        [torch.zeros(3, 9), torch.zeros(3, 9), x[:, 3, 1:4, 1:4].flatten(1), x[:, 5, 1:4, 1:4].flatten(1)], 1
    )
    spread = (inside.var(2, correction=0) + within.square().mean(2)).sqrt() / scale
    torch.testing.assert_close(found[:, 1], spread, atol=2e-3, rtol=1e-3)


def test_s_is_what_labs_share_of_the_description(tmp_path: Path) -> None:
    model = make(CELLS)
    assert model.config.feature_width == 16
    assert model.config.described_width == 16
    assert model.alignment is None
    described = model.describe(cell_tokens(120)).numpy()[:, None].repeat(4, 1)
    described[:, 1:] += 0.1 * torch.randn(120, 3, 16, generator=torch.Generator().manual_seed(0)).numpy()
    before = model.digest(), model.description_digest()
    model.align([described[:80], described[80:]], plain=2, keep=True)
    assert model.digest() != before[0]
    assert model.description_digest() == before[1]
    s, completed = model.encode(cell_tokens(120)), model.completed(described)
    assert s.shape == (120, 16)
    assert s.std(0).max() == pytest.approx(1, abs=0.3)
    assert completed.shape == (120, 4, 32)
    assert completed.dtype == "float16"
    torch.testing.assert_close(torch.from_numpy(completed[:, 0, :16]).float(), s, atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(
        torch.from_numpy(completed[..., 16:]).float(), torch.from_numpy(described), atol=5e-3, rtol=5e-3
    )
    model.save(tmp_path / "one.safetensors", half=True)
    again = CrossDomainAutoencoder.load(tmp_path / "one.safetensors", device="cpu")
    assert again.config == model.config
    torch.testing.assert_close(again.encode(cell_tokens(5)), model.encode(cell_tokens(5)), atol=2e-2, rtol=2e-2)
    assert again.alignment is not None
    assert [len(lab) for lab in again.alignment.known] == [40]
    again.forget_labs(first=False)
    assert again.alignment.known == []
    torch.testing.assert_close(again.encode(cell_tokens(5)), model.encode(cell_tokens(5)), atol=2e-2, rtol=2e-2)
    again.forget_labs()
    assert again.alignment is None


def test_finer_grids_must_fit_into_the_channels() -> None:
    with pytest.raises(InputError, match="finer"):
        AutoencoderConfig(channels=8, finer=(3,))
