"""`dorl embed`: frozen features of cells, an encoder's tokens averaged inside each cell's mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np

from dorl.cells import CellStore
from dorl.cells.pooling import stored_means
from dorl.domains import Domain, read_domains
from dorl.errors import InputError
from dorl.pipeline.embedding import embed as embed_cells
from dorl.pipeline.represent import write_features
from dorl.pipeline.runfolder import CELLS, FEATURES, check_folder, make_folder, refuse_run
from dorl.processes import in_turn, is_main, wait
from dorl.progress import say
from dorl.segmentation import Segmenter


def embed(
    labs: Sequence[str | Domain],
    *,
    out: str | Path,
    segmenter: str | Path = "tiny",
    encoder: str | Path | None = None,
    precision: str = "auto",
    device: str | None = None,
) -> anndata.AnnData:
    """Embed every cell with a frozen encoder, and average its tokens inside the mask.

    Parameters
    ----------
    labs : sequence of str or Domain
    out : str or Path
        Folder for ``cells/`` (tokens, masks, crops) and ``features.h5ad``; that of an interrupted call goes on.
    segmenter, encoder
        As for `Segmenter.load`: the masks of the one, the tokens of the other (or of the same).
    precision : {"auto", "float32", "bfloat16", "int8"}
        As for `Segmenter.load`.
    device : str, optional

    Returns
    -------
    AnnData
        X float32 (N, D); obs path, domain, label, split, patient, cell_found.

    Raises
    ------
    InputError
        If a lab, the weights or `out` can't be used.
    """
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    domains = read_domains(labs)
    network = Segmenter.load(segmenter, encoder=encoder, device=device, precision=precision)
    in_turn(lambda: make_folder(out), lambda: None)
    source = {"segmenter": network.digest(), "precision": network.precision}
    made = embed_cells(domains, network, out / CELLS, source=source)
    if not len(made.store):
        raise InputError("not one image could be read: give other images")
    names = {lab.name for lab in domains}
    others = sorted(set(made.store.table["domain"]) - names)
    if others:
        raise InputError(f"{out}: holds cells of {', '.join(others)} too; choose another folder for --out")
    if is_main():
        _averaged(made.store, out)
    wait()
    return anndata.read_h5ad(out / FEATURES)


def _averaged(store: CellStore, out: Path) -> None:
    """Write the tokens of each cell, averaged inside its mask."""
    features = stored_means(store, np.arange(len(store)), what="averaging tokens inside the masks")
    write_features(out / FEATURES, features, store.table)
    say(f"{len(features)} cells, {features.shape[1]} features each: {out / FEATURES}")
