"""A run that looks at new cells one by one: class, outline, what the autoencoder draws, and training cells like it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from dorl.cells import CellStore
from dorl.classification import VIEWS
from dorl.errors import InputError
from dorl.inference import over_batches
from dorl.pipeline.embedding import prepared, stored_form
from dorl.pipeline.model import DoRL
from dorl.pipeline.represent import stored_features
from dorl.pipeline.runfolder import (
    AUTOENCODER,
    CELLS,
    CLASSIFIERS,
    CONFIG,
    FEATURES,
    PUBLISHED,
    SEGMENTER,
    slug,
)
from dorl.reporting.overlay import draw_cells, draw_overlay
from dorl.representation.features import reconstructed
from dorl.segmentation import fields
from dorl.segmentation.cell import FoundCell, find_cells
from dorl.segmentation.fieldcells import cut_out, label_picture
from dorl.serving.recogniser import CellOfField, Neighbour, SeenCell, SeenField, Together

#: training cells that are shown beside a cell
NEIGHBOURS = 6
#: longer side of a picture to look at, in pixels, and quality of its JPEG
SHOWN, QUALITY = 320, 88
#: longer side of a field's picture
FIELD_SHOWN = 1600
#: `ViewsClassifier.distance` beyond which a cell is unlike all training cells; docs/page.md says what lies beyond it
UNLIKE = 3.0
#: without views: a cell's distance to the training cell that is its so-manyth nearest, against the distance that this
#: share of the training cells keep to theirs (Sun et al. 2022, arXiv 2204.06507)
NTH, KEPT = 5, 0.99


class RunRecogniser:
    """Looks at cells with a run; a `dorl.serving.recogniser.Recogniser`.

    Parameters
    ----------
    run : str or Path
        That `fit` made, with a classifier.
    classifier : str, optional
        One of the run's classifiers; its default otherwise.
    adapt : bool
        Let the classifier over views adapt to a sample of another lab, as `dorl predict` does.
    device : str, optional

    Raises
    ------
    InputError
        If the run can't be used.
    """

    def __init__(
        self, run: str | Path, *, classifier: str | None = None, adapt: bool = True, device: str | None = None
    ) -> None:
        run = Path(run)
        self._model = DoRL.load(run, classifier=classifier, device=device)
        self.classes = self._model.classes_
        self.name = run.resolve().name
        self._adapt = adapt
        self._store = CellStore.open(run / CELLS)
        self._train = self._training_cells(run)
        self._measure = self._model.classifier[-1].measure() if self._model.classifier_name == VIEWS else None
        used = [CONFIG, SEGMENTER, AUTOENCODER, FEATURES]
        place = Path(CLASSIFIERS) / slug(self._model.classifier_name)
        used += [str(place.with_suffix(ending)) for ending in (".skops", ".json")]
        self.version = _digest([run / name for name in used], str(adapt))
        calibration = self._model.calibration
        config = self._model.config
        self.facts: dict[str, Any] = {
            "classifier": self._model.classifier_name,
            "adapts": adapt and self._model.classifier_name == VIEWS,
            "labs": [lab.name for lab in config.labs],
            "source": config.classifiers.source,
            "training_cells": len(self._train.rows),
            "accuracy_held_out": None if calibration is None else round(calibration.accuracy, 4),
        }

    def look(self, images: Sequence[np.ndarray]) -> list[SeenCell]:
        """Look at uint8 images (H, W, 3), RGB, 0-255, each of its own size."""
        return self._look([(image, None) for image in images])

    def search(self, image: np.ndarray) -> SeenField:
        """Find every white cell of a smear field, uint8 (H, W, 3), RGB, 0-255, and look at each, as `dorl count`."""
        searched = fields.search(self._model.segmenter, image)
        found = searched.cells
        crops = [cut_out(image, cell) for cell in found]
        seen = self._look(
            [(crop, FoundCell(mask, cell.confidence)) for (crop, mask), cell in zip(crops, found, strict=True)]
        )
        height, width = image.shape[:2]
        labels = label_picture(found, (width, height))
        return SeenField(
            size=(width, height),
            red_cell=searched.ruler.diameter,
            cells=[
                CellOfField(cell.box, cell.touches_border, _encoded(crop, "PNG"), told)
                for cell, (crop, _), told in zip(found, crops, seen, strict=True)
            ],
            pictures={
                "image": _jpeg(draw_cells(image, np.zeros_like(labels), [], most=FIELD_SHOWN)),
                "outlined": _jpeg(draw_cells(image, labels, [""] * len(found), most=FIELD_SHOWN)),
            },
        )

    def together(self, inputs: Sequence[bytes]) -> Together:
        """Look once more at all cells of a sample, by the `inputs` of each."""
        rows = np.stack([self._unpacked(told) for told in inputs])
        model = self._model.adapted(rows) if self._adapt else self._model
        probabilities = model.probabilities(rows)
        accuracy = None
        if model.calibration is not None:
            first = model.first_probabilities(rows)
            said = [some.max(1) for some in (first, probabilities) if some is not None]
            accuracy = model.calibration.estimate(*said, agreement=None if self._adapt else model.agreement(rows))
        return Together(model is not self._model, accuracy, probabilities)

    def training_picture(self, row: int) -> bytes:
        """Training cell of a row of the cell store, cut out, as JPEG."""
        if not 0 <= row < len(self._store):
            raise InputError(f"no training cell {row}")
        (crops,) = self._store.batch([row], "crops")
        return _jpeg(crops[0])

    def _look(self, pairs: Sequence[tuple[np.ndarray, FoundCell | None]]) -> list[SeenCell]:
        """Look at images batch by batch, each with its cell where that was found already."""
        batches = over_batches(self._look_at, pairs, device=self._model.segmenter.device)
        return [cell for _, some in batches for cell in some]

    def _look_at(self, pairs: Sequence[tuple[np.ndarray, FoundCell | None]]) -> list[SeenCell]:
        """Look at images, each with its cell where that was found already; of all of a batch or of none."""
        model, segmenter = self._model, self._model.segmenter
        images = [image for image, _ in pairs]
        small = prepared(images, segmenter.image_size)
        out = segmenter(small)
        cells = [cell for _, cell in pairs if cell is not None]
        if not cells:
            cells = find_cells(segmenter, images, logits=out.mask_logits)
        if model.config.method == PUBLISHED:
            tokens, _, crops = stored_form(out, small)
            given = torch.from_numpy(tokens)
            drawn = model.autoencoder.draw(given).cpu().numpy()
            if model.of_grids:
                inputs = model.inputs_of(images, [cell.mask for cell in cells])
            else:
                inputs = model.autoencoder.encode(given).cpu().numpy()
        else:
            seen = model.seen(images, [cell.mask for cell in cells])
            inputs = np.stack(seen.features).astype(np.float16)
            crops, drawn = reconstructed(model.autoencoder, seen)
        rows = model.features(inputs)
        neighbours = self._train.nearest(rows)
        distances = self._train.distances(rows) if self._measure is None else self._measure(inputs) / UNLIKE
        return [
            SeenCell(
                probabilities=row.tolist(),
                found=cell.found,
                confidence=cell.confidence,
                distance=float(distance),
                neighbours=near,
                pictures={
                    **_shown(image, cell.mask),
                    "segmented": _jpeg(crop),
                    "reconstruction": _jpeg(drawing),
                },
                inputs=told.tobytes(),
            )
            for row, cell, distance, near, image, crop, drawing, told in zip(
                model.probabilities(inputs), cells, distances, neighbours, images, crops, drawn, inputs, strict=True
            )
        ]

    def _training_cells(self, run: Path) -> _TrainingCells:
        """The cells whose labels the run's classifiers have learnt."""
        table = self._store.table
        learnt = table["domain"].isin(self._model.config.classifiers.source) & table["label"].notna()
        rows = np.flatnonzero(learnt)
        whole = stored_features(self._store) if self._model.of_grids else _features(run, table["key"].tolist())
        placed = whole[rows]
        return _TrainingCells(placed, rows, table["label"].iloc[rows].tolist(), table["domain"].iloc[rows].tolist())

    def _unpacked(self, told: bytes) -> np.ndarray:
        if not self._model.several:
            return np.frombuffer(told, np.float32)
        return np.frombuffer(told, np.float16).reshape(self._model.config.views.plain, -1)


class _TrainingCells:
    """Training cells in the space of the standardised features.

    Parameters
    ----------
    features : float32 array of shape (N, D)
        Of what the classifier takes.
    rows : int array of shape (N,)
        Of the cell store.
    labels, labs : sequence of N str
    """

    def __init__(self, features: np.ndarray, rows: np.ndarray, labels: Sequence[str], labs: Sequence[str]) -> None:
        self._middle = features.mean(0)
        self._scale = np.maximum(features.std(0), 1e-6)
        self.rows, self._labels, self._labs = rows, labels, labs
        self._search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows)), algorithm="brute")
        self._search.fit(self._standardised(features))
        count = min(NTH, len(rows) - 1)
        own = self._search.kneighbors(n_neighbors=count)[0][:, -1]
        self._usual = max(float(np.quantile(own, KEPT)), 1e-6)

    def nearest(self, features: np.ndarray) -> list[list[Neighbour]]:
        """The training cells that are nearest to each row of features (B, D)."""
        distances, found = self._search.kneighbors(self._standardised(features))
        return [
            [
                Neighbour(int(self.rows[i]), str(self._labels[i]), str(self._labs[i]), round(float(distance), 3))
                for distance, i in zip(*pair, strict=True)
            ]
            for pair in zip(distances, found, strict=True)
        ]

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Distance to the `NTH` training cell over what is usual among these, (B,)."""
        count = min(NTH, len(self.rows))
        return self._search.kneighbors(self._standardised(features), n_neighbors=count)[0][:, -1] / self._usual

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        return ((features - self._middle) / self._scale).astype(np.float32)


def _features(run: Path, keys: list[str]) -> np.ndarray:
    """Features s of all cells of a run's store, float32 (N, D)."""
    import anndata

    try:
        made = anndata.read_h5ad(run / FEATURES)
    except Exception as error:  # h5py and anndata raise many kinds for a missing or damaged file
        raise InputError(
            f"{run / FEATURES}: missing or damaged; restore it, or fit anew into another folder"
        ) from error
    if made.obs_names.tolist() != keys:
        raise InputError(f"{run}: {FEATURES} and {CELLS} don't belong together; restore them, or fit anew")
    return np.asarray(made.X, np.float32)


def _shown(image: np.ndarray, mask: np.ndarray) -> dict[str, bytes]:
    """An image to look at, as it is and with the cell's outline."""
    picture, marks = Image.fromarray(image), Image.fromarray(mask)
    share = SHOWN / max(picture.size)
    size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
    small = np.asarray(picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))
    outline = np.asarray(marks.resize(size, Image.Resampling.NEAREST))
    return {"image": _jpeg(small), "outlined": _jpeg(draw_overlay(small, outline, None))}


def _jpeg(image: np.ndarray) -> bytes:
    return _encoded(image, "JPEG", quality=QUALITY)


def _encoded(image: np.ndarray, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def _digest(files: Sequence[Path], *words: str) -> str:
    """Twelve hexadecimal digits that change with any of some files, which may be missing."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()[:12]
