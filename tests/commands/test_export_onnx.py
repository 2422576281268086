"""A run's networks as ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dorl.cells.views import Views, cell_pictures, view_tokens
from dorl.commands.export_onnx import export_onnx, write_onnx
from dorl.domains.rendered import STYLES, render_cell
from dorl.errors import DorlError, InputError
from dorl.run.model import DoRL
from dorl.segmentation.graph import SegmenterGraph
from segmentation.small import noise, small_segmenter, train_a_little

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


def opened(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.slow
def test_a_published_run_without_dorl(published: Path, tmp_path: Path) -> None:
    """Image to feature through the two files alone is what the run says, for any number of images."""
    written = export_onnx(published, out=tmp_path / "onnx")
    assert [path.name for path in written] == ["segmenter.onnx", "encoder.onnx"]
    segmenter, encoder = map(opened, written)
    rng = np.random.default_rng(4)
    images = np.stack([render_cell("monocyte", STYLES[style], rng, 224).image for style in list(STYLES)[:4]])
    run = DoRL.load(published, device="cpu")
    run.segmenter.dtype = torch.float32
    for some in (images[:1], images):
        tokens, logits = segmenter.run(["tokens", "mask_logits"], {"images": some})
        out = run.segmenter(some)
        assert np.abs(tokens - out.tokens.numpy()).max() < 1e-4 * out.tokens.abs().max()
        assert np.abs(logits - out.mask_logits.numpy()).max() < 1e-4 * out.mask_logits.abs().max()
        (s,) = encoder.run(["s"], {"tokens": tokens.astype(np.float16).astype(np.float32)})
        ours = run.transform(some)
        assert np.abs(s - ours).max() < 1e-3 * np.abs(ours).max()  # tokens are rounded to half precision on the way
    notes = segmenter.get_modelmeta().custom_metadata_map
    assert json.loads(notes["mean"]) == list(run.segmenter.mean)
    assert json.loads(notes["std"]) == list(run.segmenter.std)
    assert json.loads(notes["image_size"]) == 224
    with pytest.raises(InputError, match="is there already"):
        export_onnx(published, out=tmp_path / "onnx")


@pytest.mark.slow
def test_a_run_of_cells_gives_every_grid_and_an_encoder_of_their_tokens(fitted: Path, tmp_path: Path) -> None:
    segmenter, encoder = map(opened, export_onnx(fitted, out=tmp_path / "onnx"))
    assert [one.name for one in segmenter.get_outputs()] == ["tokens", "mask_logits", "grid_28", "grid_56"]
    run = DoRL.load(fitted, device="cpu")
    image = render_cell("monocyte", STYLES["harbour"], np.random.default_rng(4), 224).image
    looks = cell_pictures(image, np.ones((224, 224), bool), Views(2, 0))
    tokens = view_tokens(run.segmenter, looks)
    (s,) = encoder.run(["s"], {"tokens": tokens.float().numpy()})
    ours = run.autoencoder.encode(tokens).numpy()
    assert np.abs(s - ours).max() < 1e-3 * np.abs(ours).max()
    assert "share of the patch" in encoder.get_modelmeta().custom_metadata_map["tokens"]


@pytest.mark.slow
def test_sam_with_lora_and_windows(tmp_path: Path) -> None:
    segmenter = small_segmenter(rank=2)
    train_a_little(segmenter)
    images = torch.from_numpy(noise(3))
    path = tmp_path / "sam.onnx"
    apart = write_onnx(SegmenterGraph(segmenter), images, path, ("images",), ("tokens", "mask_logits"), {"a": 1})
    assert apart < 1e-4
    tokens, logits = opened(path).run(None, {"images": images.numpy()[:1]})
    out = segmenter(images[:1])
    assert np.abs(tokens - out.tokens.numpy()).max() < 1e-4 * out.tokens.abs().max()
    assert np.abs(logits - out.mask_logits.numpy()).max() < 1e-4 * out.mask_logits.abs().max()


class Fickle(nn.Module):
    """Computes something else once it has been traced."""

    traced = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.traced, before = True, self.traced
        return x + 1 if before else x


def test_a_file_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DorlError, match="differs from torch by"):
        write_onnx(Fickle(), torch.rand(3, 2), tmp_path / "wrong.onnx", ("x",), ("y",), {})
    assert not list(tmp_path.iterdir())
