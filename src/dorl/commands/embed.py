"""`dorl embed`: frozen features of cells, the bundled autoencoder's s or tokens averaged inside each cell's mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
from dorl.run.embedding import Embedded, join_embedded
from dorl.run.embedding import embed as embed_cells
from dorl.run.features import stored_features, write_features
from dorl.run.folder import CELLS, FEATURES, check_folder, make_folder, refuse_among_images, refuse_run
from dorl.run.provenance import record, write_record
from dorl.runtime.cluster import over_cluster, parts_for
from dorl.runtime.inference import batch_size
from dorl.runtime.kept import content_key
from dorl.runtime.processes import in_turn, is_main, several, wait
from dorl.runtime.progress import say
from dorl.runtime.shards import FOLDER, Shard, ShardNotes, chosen, shards_of
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
    shard: str | None = None,
    join: int | None = None,
    ray: str | None = None,
    device: str | None = None,
) -> anndata.AnnData | None:
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
    shard : str, optional
        ``i/n``: only embed every n-th batch of the images, into the folder ``shards/`` of `out`.
    join : int, optional
        How many shards there are: put them together. What is written is that of one process. ``shards/`` is removed
        then.
    ray : str, optional
        Address of a Ray cluster, or ``"auto"`` (`dorl.runtime.cluster.over_cluster`), which does shards; then they are
        put together.
    device : str, optional

    Returns
    -------
    AnnData or None
        X float32 (N, D); obs path, domain, label, split, patient, cell_found. None for a shard.

    Raises
    ------
    InputError
        If a lab, the weights or `out` can't be used.
    """
    part = chosen(shard, join, ray)
    if (part or join or ray) and several():
        raise InputError("--shard, --join and --ray are given to one process each: leave --processes out")
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    if (part or ray) and (out / CELLS).exists():
        raise InputError(f"{out}: holds cells already, and shards are for a new folder; choose another one for --out")
    shards = _shards(labs, out, segmenter, encoder, features, precision, device)
    in_turn(lambda: make_folder(out), lambda: None)
    if part is not None:
        shards(part)
        return None
    if ray is not None:
        join = shards.count()
        given = partial(_shards, list(labs), out, segmenter, encoder, features, precision, device)
        over_cluster(ray, given, shards_of(join), what="shards of cells")
    store = shards.whole() if join is None else shards.joined(join)
    if not len(store):
        raise InputError("not one image could be read: give other images")
    if is_main():
        _write(store, shards.labs, out, shards.autoencoder)
        settings = {"encoder": encoder, "features": features, "precision": store.header["source"]["precision"]}
        settings["autoencoder"] = shards.source.get("autoencoder")
        write_record([out / FEATURES], record("embed", segmenter=shards.network.digest(), settings=settings))
        if join is not None:
            shards.notes.remove()
    wait()
    return anndata.read_h5ad(out / FEATURES)


def _shards(
    labs: Sequence[str | Domain],
    out: Path,
    segmenter: str | Path,
    encoder: str | Path | None,
    features: str,
    precision: str,
    device: str | None,
) -> _Shards:
    """Read the labs and the networks; arguments as for `embed`."""
    if features not in (AUTO, "s", "tokens"):
        raise InputError(f"features {features!r} are unknown: give auto, s or tokens")
    domains = read_domains(labs)
    refuse_among_images(out, labs, domains)
    _refuse_others(out, {lab.name for lab in domains})
    network = Segmenter.load(segmenter, encoder=encoder, device=device, precision=precision)
    autoencoder = None if features == "tokens" or encoder is not None else bundled(network, device=device)
    if features == "s" and autoencoder is None:
        raise InputError("no autoencoder comes with this segmenter or encoder: give --features tokens, or fit one")
    return _Shards(domains, network, autoencoder, out)


class _Shards:
    """Shards of the images, each a store of its own; called with one, it does that one."""

    def __init__(
        self, labs: Sequence[Domain], network: Segmenter, autoencoder: CrossDomainAutoencoder | None, out: Path
    ) -> None:
        self.labs, self.network, self.autoencoder, self.cells = labs, network, autoencoder, out / CELLS
        made_by = {"segmenter": network.digest()}
        if autoencoder is not None:
            made_by["autoencoder"] = autoencoder.description_digest()
        self.source = {**made_by, "precision": network.precision}
        images = content_key([lab.key(i) for lab in labs for i in range(len(lab))])
        self.notes = ShardNotes(out / FOLDER, {"images": images, "autoencoder": "", **made_by})

    def whole(self) -> CellStore:
        """All cells, embedded by this process, or by several together."""
        return self._embedded(self.cells).store

    def __call__(self, shard: Shard) -> None:
        """Embed a shard's images; it goes on where it was stopped."""
        place = self.notes.place(shard)
        self.notes.begin(shard)
        made = self._embedded(place, shard)
        made.store.leave()
        self.notes.finish(shard, alike={"precision": self.network.precision}, left_out=made.left_out)
        say(f"shard {shard}: {counted(len(made.store), 'cell')}, {len(made.left_out)} left out: {place}")

    def joined(self, count: int) -> CellStore:
        """All cells, from the stores of so many shards."""
        for note in self.notes.joined(count):
            for key, reason in note["left_out"]:
                say(f"left out: {key}: {reason}")
        return join_embedded(self.labs, self.cells, [self.notes.place(shard) for shard in shards_of(count)])

    def count(self) -> int:
        """How many shards a cluster is given."""
        images = sum(map(len, self.labs))
        return parts_for(images, -(-images // batch_size(self.network.device)))

    def _embedded(self, path: Path, shard: Shard | None = None) -> Embedded:
        views = None if self.autoencoder is None else Views(restained=0)
        return embed_cells(
            self.labs,
            self.network,
            path,
            source=self.source,
            autoencoder=self.autoencoder,
            views=views,
            shard=shard,
        )


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
