"""`dorl embed`: frozen features of cells, the bundled autoencoder's s or tokens averaged inside each cell's mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import pandas as pd

from dorl.cells import CellStore
from dorl.cells.pooling import stored_means
from dorl.cells.views import Views
from dorl.domains import Domain, read_domains
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.run.autoencoders import AUTO, bundled
from dorl.run.embedding import embed as embed_cells
from dorl.run.features import stored_features, write_features
from dorl.run.folder import CELLS, FEATURES, check_folder, make_folder, refuse_among_images, refuse_run
from dorl.run.provenance import record, write_record
from dorl.runtime.processes import in_turn, is_main, wait
from dorl.runtime.progress import say
from dorl.segmentation import Segmenter
from dorl.words import counted


def embed(
    labs: Sequence[str | Domain],
    *,
    out: str | Path,
    segmenter: str | Path = "tiny",
    encoder: str | Path | None = None,
    features: str = AUTO,
    precision: str = "auto",
    device: str | None = None,
) -> anndata.AnnData:
    """Embed every cell with frozen networks.

    Parameters
    ----------
    labs : sequence of str or Domain
    out : str or Path
        Folder for ``cells/``, ``features.h5ad`` and ``features.h5ad.json``, which says what it was made with; that of
        an interrupted call goes on.
    segmenter, encoder
        As for `Segmenter.load`: the masks of the one, the tokens of the other (or of the same).
    features : {"auto", "s", "tokens"}
        ``s``: the feature s of the cell at common references, by the autoencoder that comes with the segmenter.
        ``tokens``: the tokens of the whole image, averaged inside the cell's mask; they are kept, too. ``auto`` is s
        where such an autoencoder exists.
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
    if features not in (AUTO, "s", "tokens"):
        raise InputError(f"features {features!r} are unknown: give auto, s or tokens")
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    domains = read_domains(labs)
    refuse_among_images(out, labs, domains)
    _refuse_others(out, {lab.name for lab in domains})
    network = Segmenter.load(segmenter, encoder=encoder, device=device, precision=precision)
    in_turn(lambda: make_folder(out), lambda: None)
    autoencoder = None if features == "tokens" or encoder is not None else bundled(network, device=device)
    if features == "s" and autoencoder is None:
        raise InputError("no autoencoder comes with this segmenter or encoder: give --features tokens, or fit one")
    source = {"segmenter": network.digest(), "precision": network.precision}
    views = None
    if autoencoder is not None:
        views, source["autoencoder"] = Views(restained=0), autoencoder.description_digest()
    embedded = embed_cells(domains, network, out / CELLS, source=source, autoencoder=autoencoder, views=views)
    if not len(embedded.store):
        raise InputError("not one image could be read: give other images")
    if is_main():
        _write(embedded.store, domains, out, autoencoder)
        settings = {"encoder": encoder, "features": features, "precision": network.precision}
        settings["autoencoder"] = source.get("autoencoder")
        write_record([out / FEATURES], record("embed", segmenter=network.digest(), settings=settings))
    wait()
    return anndata.read_h5ad(out / FEATURES)


def _refuse_others(out: Path, names: set[str]) -> None:
    """Refuse a folder that holds cells of other labs."""
    if not (out / CELLS / "cells.json").exists():
        return
    table = CellStore.open(out / CELLS).table
    others = sorted(set(table["domain"]) - names) if len(table) else []
    if others:
        raise InputError(f"{out}: holds cells of {', '.join(others)} too; choose another folder for --out")


def _write(store: CellStore, labs: Sequence[Domain], out: Path, autoencoder: CrossDomainAutoencoder | None) -> None:
    """Write each cell's features: of the labs' images and with their labels as they are now."""
    table = store.table
    place = {key: row for row, key in enumerate(table["key"])}
    columns = [
        {"row": place[lab.key(i)], **{name: row[name] for name in ("label", "patient", "split")}}
        for lab in labs
        for i, row in enumerate(lab.table.to_dict("records"))
        if lab.key(i) in place
    ]
    if not columns:  # there are cells, of images that are the labs' no more
        raise InputError("not one image could be read: give other images")
    now = pd.DataFrame(columns)
    rows = now.pop("row").to_numpy()
    cells = table.iloc[rows].reset_index(drop=True).assign(**now)
    if autoencoder is not None:
        features = stored_features(store, autoencoder)[rows]
    else:
        features = stored_means(store, rows, what="averaging tokens inside the masks")
    write_features(out / FEATURES, features, cells)
    say(f"{counted(len(features), 'cell')}, {features.shape[1]} features each: {out / FEATURES}")
