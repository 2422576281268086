"""Classifiers, protocol, map and report of a million cells: time and peak memory by number of rows.

    python tools/measure/million.py [--rows 100000 300000 1000000] [--folds 5] [--folder DIR]

Three labs are rendered, and `dorl fit` is run on them. By the mean of s and its covariance in each class of each lab,
rows of s, class and lab are drawn by a seed, without images. On these rows run the functions that `dorl fit` runs once
it has s: the seven classifiers with their calibration, the protocol, intervals and tables, the map (UMAP)
and the figures, the report. Each cell has a single view, of s alone. Pictures of cells are those of the small run.
Each number of rows runs in a process of its own; the peak is the operating system's (`VmHWM`).
Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from dorl.run.features import Represented
from dorl.run.model import DoRL

LABS, TESTED = ("harbour", "forest", "dune"), "dune"
#: a class of fewer cells in a lab has the covariance of all classes alone
FEW = 10


def peak_mb() -> float:
    """Peak resident memory of this process, in MB (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status has no VmHWM: this needs Linux")


def fit_small(folder: Path, cells: int) -> None:
    """Render the labs and fit DoRL to them, with the labels of all but one."""
    import dorl
    from dorl.domains.rendered import render_lab

    for seed, name in enumerate(LABS):
        render_lab(folder / "labs" / name, style=name, cells=cells, seed=seed)
    labs = [f"{name}={folder / 'labs' / name / 'manifest.csv'}" for name in LABS]
    dorl.fit(labs, out=folder / "small", source=[name for name in LABS if name != TESTED], folds=2)


def draw(small: Path, count: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows of s, float32 (N, 16), and the table of cells, drawn from a normal distribution for each class and lab."""
    import anndata

    known = anndata.read_h5ad(small / "features.h5ad")
    s, labels, domains = known.X, known.obs["label"].to_numpy(object), known.obs["domain"].to_numpy(object)
    rng = np.random.default_rng(0)
    pairs = list(zip(domains, labels, strict=True))
    centred = s - np.stack([s[[pair == own for pair in pairs]].mean(0) for own in pairs])
    within = np.cov(centred.T)
    features, names, of = [], [], []
    for lab in LABS:
        own = labels[domains == lab]
        drawn = rng.choice(own, count // len(LABS) + (lab == LABS[0]) * (count % len(LABS)))
        part = np.empty((len(drawn), s.shape[1]), np.float32)
        for label in np.unique(own.astype(str)):
            members = s[(domains == lab) & (labels == label)]
            spread = within if len(members) < FEW else 0.5 * within + 0.5 * np.cov(members.T)
            rows = np.flatnonzero(drawn == label)
            part[rows] = rng.multivariate_normal(members.mean(0), spread, len(rows), method="cholesky")
        features.append(part)
        names += drawn.tolist()
        of += [lab] * len(drawn)
    paths = [f"{number:07d}.png" for number in range(count)]
    keys = [f"{lab}/{path}" for lab, path in zip(of, paths, strict=True)]
    table = pd.DataFrame({"key": keys, "domain": of, "path": paths, "label": names}, dtype=object)
    return np.concatenate(features), table.assign(split=None, patient=None, cell_found=True, size=1.0)


class Pictures:
    """In place of the store of so many cells: the pictures of the small run's, over and over."""

    def __init__(self, store: Any, path: Path, count: int) -> None:
        self.store, self.path, self.count = store, path, count

    def __len__(self) -> int:
        return self.count

    def record(self, name: str) -> Any:
        return self.store.record(name)

    def batch(self, indices: Any, *names: str) -> Any:
        return self.store.batch(np.asarray(indices) % len(self.store), *names)


class OneImage:
    """A source that gives the same grey picture under every name."""

    def size(self, path: str) -> tuple[int, int]:
        return 224, 224

    def read(self, path: str) -> np.ndarray:
        return np.full((224, 224, 3), 128, np.uint8)

    def digest(self, path: str, mask: str | None = None) -> str:
        return "made up"


class Rows(Represented):
    """Cells of which s alone is known."""

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """A view (M, 1, 32): s, and in place of what it is made of s again."""
        return np.concatenate([self.features[rows]] * 2, 1)[:, None]

    def described(self, rows: np.ndarray) -> np.ndarray:
        return self.features[rows]


def represented(small: Path, out: Path, count: int, folds: int) -> Rows:
    """A run over so many rows, its settings written."""
    from dorl.cells import CellStore
    from dorl.domains import Domain
    from dorl.files import write_text
    from dorl.run.folder import CONFIG

    features, cells = draw(small, count)
    model = DoRL.load(small, device="cpu")
    labs = [
        Domain(name, out, "made-up", cells.loc[cells["domain"] == name, ["path", "label"]], source=OneImage())
        for name in LABS
    ]
    config = model.config.model_copy(deep=True)
    config.classifiers.folds = folds
    for known, lab in zip(config.labs, labs, strict=True):
        known.images = known.labelled = len(lab)
    (out / "cells").mkdir(parents=True, exist_ok=True)
    write_text(out / CONFIG, config.to_toml())
    store = Pictures(CellStore.open(small / "cells"), out / "cells", count)
    left_out: dict[str, list[tuple[str, str]]] = {name: [] for name in LABS}
    return Rows(labs, config, store, cells, features, model.autoencoder, left_out, model.segmenter)  # type: ignore[arg-type]


def measure(small: Path, out: Path, count: int, folds: int) -> list[dict[str, Any]]:
    """Time of each stage, and the peak after it; map and classifiers of a run that was stopped aren't made again."""
    import anndata

    from dorl.commands import fit as command
    from dorl.files import write_json
    from dorl.reporting import contents, embed_2d, write_results, write_tables
    from dorl.reporting.figures import run as figures
    from dorl.reporting.mistakes import confident_mistakes, draw_mistakes
    from dorl.reporting.report import write_run_report
    from dorl.reporting.unusual import most_unlike
    from dorl.run.classifiers import fit_classifiers
    from dorl.run.features import write_features
    from dorl.run.protocols import run_protocols

    note = out / "stages.json"
    found: list[dict[str, Any]] = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else []
    done = {row["stage"] for row in found}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        wall, processor = time.monotonic(), time.process_time()
        yield
        row = {"rows": count, "stage": name, "seconds": round(time.monotonic() - wall, 1)}
        row |= {"processor_seconds": round(time.process_time() - processor, 1), "peak_mb": round(peak_mb())}
        found[:] = [*(row for row in found if row["stage"] != name), row]
        write_json(note, found)
        print(row, file=sys.stderr, flush=True)

    with stage("rows drawn"):
        cells = represented(small, out, count, folds)
    if "features.h5ad" in done:
        placed = anndata.read_h5ad(out / "features.h5ad").obsm["X_umap"]
    else:
        with stage("map"):
            placed = embed_2d(cells.features, cells.config.seed)
        with stage("features.h5ad"):
            write_features(out / "features.h5ad", cells.features, cells.cells, placed)
    if "classifiers" not in done:
        with stage("classifiers"):
            fit_classifiers(cells, out)
    with stage("protocol"):
        result = run_protocols(cells)
    with stage("intervals and tables"):
        write_results(result, out)
        write_tables(result, out, list(LABS))
    of_images = dict.fromkeys(("draw_labs", "reconstruction_panel", "_panel"), mock.DEFAULT)
    of_images["embed_2d"] = mock.Mock(return_value=placed)
    with mock.patch.multiple(figures, **of_images), stage("figures"):
        figures.draw_run(cells, result, out)
    with stage("cells to look at"):
        mistakes, unlike = confident_mistakes(cells, result), most_unlike(cells, out)
        draw_mistakes(cells, mistakes, out / "figures")
    metrics = {"expected": [], "distances": [], "mistakes": mistakes, "unlike": unlike}
    with mock.patch.object(contents, "CellStore", mock.Mock(open=lambda path: cells.store)), stage("report"):
        write_json(out / "metrics.json", command.measured(cells, result, 0.0) | metrics)
        write_run_report(out)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--cells", type=int, default=130, help="Of each rendered lab.")
    parser.add_argument("--folds", type=int, default=5, help="Of the protocol.")
    parser.add_argument("--folder", type=Path, help="Where all is kept: what lies there isn't made again.")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.folder / "small", given.folder / f"of-{given.one}", given.one, given.folds)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if not (folder / "small" / "metrics.json").is_file():
            fit_small(folder, given.cells)
        rows: list[dict[str, Any]] = []
        for count in given.rows:
            words = [sys.executable, __file__, "--folder", str(folder), "--one", str(count)]
            words += ["--folds", str(given.folds)]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            rows += json.loads(done.stdout.splitlines()[-1])
        table = pd.DataFrame(rows)
        print(table.pivot(index="stage", columns="rows", values="seconds").reindex(table["stage"].unique()).to_string())
        whole = table.groupby("rows").agg({"seconds": "sum", "processor_seconds": "sum", "peak_mb": "max"})
        print(whole.to_string())
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
