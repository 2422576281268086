"""Features s of stored cells."""

from __future__ import annotations

import math

import numpy as np
import torch

from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.batches import Cells
from dorl.runtime.processes import gathered, share
from dorl.runtime.progress import track
from dorl.runtime.training import prefetch


def encode_cells(
    model: CrossDomainAutoencoder, cells: Cells, *, batch_size: int = 128, members: np.ndarray | None = None
) -> np.ndarray:
    """Features s of stored cells: float32 array (N, D), of which several processes each compute a part."""
    members = np.arange(len(cells)) if members is None else np.asarray(members)
    own = np.array(share(range(len(members)), batch_size), np.intp)
    batches = [own[start : start + batch_size] for start in range(0, len(own), batch_size)]
    found = np.empty((len(own), model.config.feature_width), np.float32)
    read = prefetch(lambda rows: cells.batch(members[rows], "tokens")[0], batches, workers=1, ahead=1)
    done = 0
    for tokens in track(read, total=math.ceil(len(own) / batch_size), what="extracting features"):
        found[done : done + len(tokens)] = model.encode(torch.from_numpy(tokens)).cpu().numpy()
        done += len(tokens)
    parts = gathered((own, found))
    if len(parts) == 1:
        return found
    features = np.empty((len(members), model.config.feature_width), np.float32)
    for rows, part in parts:
        features[rows] = part
    return features
