"""A segmenter in 8-bit integers, calibrated by NNCF and run by OpenVINO on a processor.

Weights and activations of the encoder's linear layers and convolutions are integers (Jacob et al. 2018, arXiv
1712.05877; for transformers after SmoothQuant, arXiv 2211.10438); attention, norms and the mask decoder stay
floating-point.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.files import atomic
from dorl.runtime.inference import CPU_BATCH
from dorl.runtime.progress import say
from dorl.segmentation.graph import SegmenterGraph
from dorl.segmentation.pixels import prepare
from dorl.segmentation.weights.hub import weights_folder
from dorl.tensorfiles import weights_digest

if TYPE_CHECKING:
    from dorl.segmentation.segmenter import Segmenter

#: rendered cells that ranges of activations are read from, where no images are given
RENDERED = 48
#: of the way a network is quantised; a cached one of another version is made anew
VERSION = 1


class Quantised:
    """An 8-bit copy of a segmenter.

    It is made once and kept in the weights folder, under ``int8/``, by the segmenter's digest.

    Parameters
    ----------
    segmenter : Segmenter
    images : sequence of uint8 arrays of shape (H, W, 3), optional
        What it is calibrated on: ranges of activations are read from these. Rendered cells of four labs by default.

    Raises
    ------
    InputError
        If OpenVINO or NNCF isn't installed.
    """

    def __init__(self, segmenter: Segmenter, images: Sequence[np.ndarray] | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise _missing(error) from error
        size = segmenter.image_size
        folder = weights_folder() / "int8" / _key(segmenter, images)
        if not (folder / "model.xml").is_file():
            calibration = _rendered(size) if images is None else [prepare(image, size) for image in images]
            _write(segmenter, calibration, folder)
        threads = segmenter.threads
        # a stream a thread, as `dorl.runtime.inference.over_batches` works
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
        self._compiled: Any = openvino.Core().compile_model(folder / "model.xml", "CPU", options)
        self._own = threading.local()

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Tokens (B, D, G, G), mask logits (B, 2, 4·G, 4·G) and finer grids of uint8 images (B, S, S, 3), float32."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        array = images.cpu().numpy()
        parts = []
        for start in range(0, len(array), CPU_BATCH):
            found = request.infer(array[start : start + CPU_BATCH])
            parts.append([torch.from_numpy(np.array(found[output], np.float32)) for output in self._compiled.outputs])
        return tuple(torch.cat(some) for some in zip(*parts, strict=True))


def _key(segmenter: Segmenter, images: Sequence[np.ndarray] | None) -> str:
    # of the masks' network alone, whoever makes the tokens
    own = weights_digest(segmenter.sam.state_dict(), (segmenter.spec, segmenter.mean, segmenter.std))
    digest = hashlib.sha256(f"{VERSION} {own}".encode())
    for image in images or ():
        digest.update(repr(image.shape).encode() + image.tobytes())
    return digest.hexdigest()[:32]


def _rendered(size: int) -> list[np.ndarray]:
    """Cells of every class in four labs."""
    from dorl.domains.rendered import CELL_CLASSES, STYLES, render_cell

    rng = np.random.default_rng(0)
    names, styles = list(CELL_CLASSES), list(STYLES)[:4]
    return [
        render_cell(names[i % len(names)], STYLES[styles[i % len(styles)]], rng, size).image for i in range(RENDERED)
    ]


def _write(segmenter: Segmenter, images: Sequence[np.ndarray], folder: Path) -> None:
    """Quantise a segmenter on images of its own size into a new folder."""
    os.environ.setdefault("NNCF_TELEMETRY_DISABLE", "1")
    os.environ.setdefault("OPENVINO_TELEMETRY_DISABLE", "1")
    say(f"quantising {segmenter.base} on {len(images)} cells, once")
    size = segmenter.image_size
    graph = SegmenterGraph(segmenter, every_grid=True)
    with _quiet():
        try:
            import nncf
            import openvino
        except ImportError as error:
            raise _missing(error) from error
        with torch.no_grad():
            model = openvino.convert_model(
                graph,
                example_input=torch.zeros(2, size, size, 3, dtype=torch.uint8),
                input=[openvino.PartialShape([-1, size, size, 3])],
            )
        model = nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in images]),
            subset_size=len(images),
            # symmetric ranges are the quicker ones
            preset=nncf.QuantizationPreset.PERFORMANCE,
            # attention's own products stay floating-point where the network is a transformer
            model_type=None if segmenter.spec.family == "compact" else nncf.ModelType.TRANSFORMER,
            # of little cost, and masks hang on it
            ignored_scope=nncf.IgnoredScope(patterns=[".*mask_decoder.*", ".*neck.*"], validate=False),
        )
    try:
        with atomic(folder) as temporary:
            temporary.mkdir()
            openvino.save_model(model, temporary / "model.xml")
    except OSError as error:
        if not (folder / "model.xml").is_file():  # another process may have been quicker
            raise InputError(f"{folder}: can't be written ({error.strerror}); name another DORL_WEIGHTS") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and warnings of NNCF and of torch's tracer."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _missing(error: ImportError) -> InputError:
    return InputError(f"precision int8 needs {error.name}: pip install 'dorl[fast]', or choose another precision")
