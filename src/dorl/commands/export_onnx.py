"""`dorl export --onnx`: a run's segmenter and autoencoder for ONNX runtimes, checked against torch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import dorl
from dorl.cells.views import Pictures, Views, cell_pictures, view_tokens
from dorl.domains.rendered import CELL_CLASSES, STYLES, render_cell
from dorl.errors import DorlError, InputError
from dorl.files import atomic
from dorl.representation import CrossDomainAutoencoder
from dorl.run.folder import make_folder, refuse_written
from dorl.run.model import DoRL
from dorl.runtime.hub import title_of
from dorl.runtime.progress import say
from dorl.segmentation.graph import SegmenterGraph

#: the files' names
ONNX_SEGMENTER, ONNX_ENCODER = "segmenter.onnx", "encoder.onnx"
#: largest difference from torch that is let pass, as a share of the largest value
TOLERANCE = 1e-3
#: images that are traced, and images that are compared: another number, since the batch is to be free
TRACED, COMPARED = 2, 3
#: bytes of weights that a single ONNX file can hold, a little less than 2^31
MAX_ONNX_BYTES = 2_000_000_000


def export_onnx(run: str | Path, *, out: str | Path) -> list[Path]:
    """Write a run's segmenter and its autoencoder's encoder as ONNX.

    ``segmenter.onnx`` takes ``images``, uint8 (batch, S, S, 3), RGB, and normalises them itself. It gives ``tokens``
    (batch, D, G, G), ``mask_logits`` (batch, 2, 4·G, 4·G), background and cell, and the finer grids where the run's
    autoencoder takes cells. ``encoder.onnx`` takes ``tokens`` and gives ``s``, (batch, D). As published these are the
    tokens of the whole image, else those that `dorl.cells.views.view_tokens` puts together of a cell. Both compute in
    float32; mean, standard deviation and sizes are among the file's metadata. Each is run on rendered cells and
    compared with torch before it gets its name.

    Parameters
    ----------
    run : str or Path
    out : str or Path
        Folder for the two files.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        If the run can't be exported, something would be written over, or onnx isn't installed.
    DorlError
        If what was written computes something else than torch.
    """
    _check_installed()
    out = Path(out)
    paths = [out / ONNX_SEGMENTER, out / ONNX_ENCODER]
    refuse_written(paths, "--onnx")
    model = DoRL.load(run, device="cpu")
    segmenter, autoencoder = model.segmenter, model.autoencoder
    if segmenter.embedder is not None:
        raise InputError(f"{run}: its tokens are of a second encoder ({segmenter.embedder.name}), which isn't exported")
    if sum(tensor.nbytes for tensor in segmenter.sam.state_dict().values()) > MAX_ONNX_BYTES:
        raise InputError(
            f"{run}: its segmenter ({segmenter.base}) has over 2 GB of weights, more than an ONNX file holds"
        )
    make_folder(out)
    size = segmenter.image_size
    rng = np.random.default_rng(0)
    pairs = zip(CELL_CLASSES, STYLES, strict=False)
    cells = [render_cell(name, STYLES[style], rng, size).image for name, style in pairs][:COMPARED]
    images = torch.from_numpy(np.stack(cells))
    notes: dict[str, Any] = {"dorl": dorl.__version__, "run": title_of(run)}
    of_cells = bool(autoencoder.config.channels)
    graph = SegmenterGraph(segmenter, every_grid=of_cells)
    about = {
        "base": segmenter.base,
        "image_size": size,
        "mean": segmenter.mean,
        "std": segmenter.std,
        "images": "uint8 (batch, size, size, 3), RGB, 0-255; normalised inside by mean and std",
        "mask_logits": "background and cell",
    }
    with torch.inference_mode():
        tokens, _, *finer = graph(images)
    names = ("tokens", "mask_logits", *(f"grid_{grid.shape[-1]}" for grid in finer))
    write_onnx(graph, images, paths[0], ("images",), names, {**notes, **about})
    about = {"width": autoencoder.config.width, "grid": autoencoder.config.grid, "s": "the cell's feature"}
    if of_cells:
        whole = np.ones(images.shape[1:3], bool)
        looks = Pictures.joined([cell_pictures(image, whole, Views(1, 0)) for image in images.numpy()])
        tokens = view_tokens(segmenter, looks)
        about["tokens"] = (
            "of the cell at common references: tokens; of each finer grid, the finest last, mean and deviation in each "
            "token's patch; share of the patch that the cell covers, and that its nucleus covers"
        )
    write_onnx(_Encoder(autoencoder), tokens, paths[1], ("tokens",), ("s",), {**notes, **about})
    return paths


class _Encoder(nn.Module):
    """From tokens (B, D, G, G) to s (B, D)."""

    def __init__(self, autoencoder: CrossDomainAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder.eval()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.autoencoder.seen(tokens)


def write_onnx(
    module: nn.Module,
    batch: Tensor,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: dict[str, Any],
) -> float:
    """Write a module as ONNX, its first axis free, and compare it with torch.

    Parameters
    ----------
    module : nn.Module
        On the CPU.
    batch : Tensor
        `COMPARED` real inputs.
    path : Path
    inputs, outputs : sequence of str
        Names.
    metadata : dict
        Goes into the file, values as JSON where they aren't text.

    Returns
    -------
    float
        The largest difference, as a share of the output's largest value.

    Raises
    ------
    DorlError
        If it is above `TOLERANCE`; then nothing is written.
    """
    import onnx

    with torch.no_grad(), warnings.catch_warnings():
        expected = module(batch)
        warnings.simplefilter("ignore")  # of the exporter's own code
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program: Any = torch.onnx.export(
            module.requires_grad_(False),
            (batch[:TRACED],),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    onnx.helper.set_model_props(
        model, {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    )
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        apart = _largest_difference(temporary, batch, expected if isinstance(expected, tuple) else (expected,))
        if not apart <= TOLERANCE:
            raise DorlError(f"{path.name}: differs from torch by {apart:.1e} of its largest value; not written")
    say(f"{path}: equal to torch within {apart:.1e} of the largest value, over {len(batch)} rendered cells")
    return apart


def _largest_difference(path: Path, batch: Tensor, expected: Sequence[Tensor]) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
    pairs = zip(found, (tensor.numpy() for tensor in expected), strict=True)
    return max(float(np.abs(ours - theirs).max() / np.abs(theirs).max()) for ours, theirs in pairs)


def _check_installed() -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(name) is None:
            raise InputError(f"{name} is not installed: pip install 'dorl[onnx]'")
