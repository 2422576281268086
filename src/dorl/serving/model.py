"""A run that looks at new cells one by one: class, outline, what the autoencoder draws, and training cells like it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from dorl.cells import CellStore
from dorl.cells.rows import StoredRows, plain_means
from dorl.classification.unlike import Unlike
from dorl.errors import BadImageError, InputError
from dorl.files import digest_of
from dorl.representation.features import reconstructed
from dorl.run.embedding import prepared, stored_form
from dorl.run.folder import (
    AUTOENCODER,
    CELLS,
    CLASSIFIERS,
    CONFIG,
    FEATURES,
    PUBLISHED,
    SEGMENTER,
    UNLIKE,
    slug,
)
from dorl.run.mixes import check_expect
from dorl.run.model import DoRL
from dorl.runtime.inference import over_batches
from dorl.runtime.kept import content_key
from dorl.segmentation import fields
from dorl.segmentation.cell import FoundCell, find_central_cells
from dorl.segmentation.colours import colour_fault
from dorl.segmentation.fieldcells import cut_out, label_picture
from dorl.segmentation.overlay import draw_cells, draw_overlay
from dorl.serving.recogniser import CellOfField, Neighbour, SampleResult, SeenCell, SeenField

#: training cells that are shown beside a cell
NEIGHBOURS = 6
#: longer side of a picture to look at, in pixels, and quality of its JPEG
SHOWN, QUALITY = 320, 88
#: longer side of a field's picture
FIELD_SHOWN = 1600


class RunRecogniser:
    """Looks at cells with a run; a `dorl.serving.recogniser.Recogniser`.

    Parameters
    ----------
    run : str or Path
        That `fit` made, with a classifier.
    classifier : str, optional
        One of the run's classifiers; its default otherwise.
    name : str, optional
        The run's, as the page shows it; its folder's otherwise.
    adapt : bool
        Let the classifier over views adapt to a sample of another lab, as `dorl predict` does.
    expect : str, optional
        The mix of classes that is expected of a sample, as for `dorl.predict`.
    device : str, optional

    Raises
    ------
    InputError
        If the run can't be used.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        name: str | None = None,
        classifier: str | None = None,
        adapt: bool = True,
        expect: str | None = None,
        device: str | None = None,
    ) -> None:
        run = Path(run)
        self._model = DoRL.load(run, classifier=classifier, device=device)
        self.classes = self._model.classes_
        self.name = name or run.resolve().name
        self._adapt, self._expect = adapt, expect
        check_expect(expect)
        if not (run / CELLS).is_dir():
            raise InputError(f"{run}: its cells are not there, which the page shows: share it with dorl push --cells")
        self._store = CellStore.open(run / CELLS)
        self._train = self._training_cells(run)
        if self._model.unlike is None and self._model.config.method == PUBLISHED:  # a run of an earlier version
            self._model.unlike = self._train.unlike()
        used = [CONFIG, SEGMENTER, AUTOENCODER, FEATURES, UNLIKE]
        place = Path(CLASSIFIERS) / slug(self._model.classifier_name)
        used += [str(place.with_suffix(ending)) for ending in (".skops", ".json")]
        self.version = content_key([digest_of(run / name) for name in used], adapt, expect)[:12]
        calibration = self._model.calibration
        config = self._model.config
        self.facts: dict[str, Any] = {
            "classifier": self._model.classifier_name,
            "adapts": adapt and self._model.over_views is not None,
            "expect": self._model.expects(expect),
            "labs": [lab.name for lab in config.labs],
            "source": config.classifiers.source,
            "training_cells": len(self._train.rows),
            "accuracy_held_out": None if calibration is None else round(calibration.accuracy, 4),
        }

    def look(self, images: Sequence[np.ndarray]) -> list[SeenCell]:
        """Look at uint8 images (H, W, 3), RGB, 0-255, each of its own size."""
        return self._look([(image, None) for image in images])

    def search(self, image: np.ndarray) -> SeenField:
        """Find every white cell of a smear field, uint8 (H, W, 3), RGB, 0-255, and look at each, as `dorl count`.

        Raises BadImageError for a field that is grey, or whose red and blue are swapped.
        """
        segmenter = self._model.segmenter
        searched = fields.search(segmenter, image)
        found = searched.cells
        if not found and (fault := colour_fault(segmenter, image, red_cell=searched.ruler.diameter)) is not None:
            raise BadImageError(fault)
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
                CellOfField(cell.box, cell.touches_border, _encoded(crop, "PNG"), seen_cell)
                for cell, (crop, _), seen_cell in zip(found, crops, seen, strict=True)
            ],
            pictures={
                "image": _jpeg(draw_cells(image, np.zeros_like(labels), [], most=FIELD_SHOWN)),
                "outlined": _jpeg(draw_cells(image, labels, [""] * len(found), most=FIELD_SHOWN)),
            },
        )

    def together(self, inputs: Sequence[bytes]) -> SampleResult:
        """Look once more at all cells of a sample, by the `inputs` of each."""
        rows = np.stack([self._unpacked(packed) for packed in inputs])
        found = self._model.assess(rows, expect=self._expect, adapt=self._adapt)
        distances = np.nan_to_num(found.distances)
        suited = found.model
        return SampleResult(
            *(found.adapted, found.accuracy, found.probabilities, distances, found.mix or None),
            *(suited.confusion(), suited.another_lab, suited.each_unlike),
        )

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
            cells = find_central_cells(segmenter, images, logits=out.mask_logits)
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
            inputs = model.completed(seen, [cell.mask for cell in cells])
            crops, drawn = reconstructed(model.autoencoder, seen)
        rows = model.features(inputs)
        neighbours = self._train.nearest(rows)
        distances = np.nan_to_num(model.distances(inputs))  # of too few training cells: nothing is called unlike
        return [
            SeenCell(
                probabilities=row.tolist() if cell.found else None,
                found=cell.found,
                confidence=cell.confidence,
                distance=float(distance),
                neighbours=near,
                pictures={
                    **_shown(image, cell.mask),
                    "segmented": _jpeg(crop),
                    "reconstruction": _jpeg(drawing),
                },
                inputs=packed.tobytes(),
            )
            for row, cell, distance, near, image, crop, drawing, packed in zip(
                model.probabilities(inputs), cells, distances, neighbours, images, crops, drawn, inputs, strict=True
            )
        ]

    def _training_cells(self, run: Path) -> _TrainingCells:
        """The cells whose labels the run's classifiers have learnt."""
        table = self._store.table
        learnt = table["domain"].isin(self._model.config.classifiers.source) & table["label"].notna()
        rows = np.flatnonzero(learnt)
        if self._model.of_grids:
            placed = plain_means(StoredRows(self._store, "views", rows), self._model.config.views.plain)
        else:
            placed = _features(run, table["key"].tolist())[rows]
        return _TrainingCells(placed, rows, table["label"].iloc[rows].tolist(), table["domain"].iloc[rows].tolist())

    def _unpacked(self, packed: bytes) -> np.ndarray:
        if not self._model.several:
            return np.frombuffer(packed, np.float32)
        return np.frombuffer(packed, np.float16).reshape(self._model.config.views.plain, -1)


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
        self.rows, self._labels, self._labs, self._features = rows, labels, labs, features
        self._search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows)), algorithm="brute")
        self._search.fit(self._standardised(features))

    def unlike(self) -> Unlike | None:
        """What says how unlike these cells another one is."""
        return Unlike.fit(self._features, self._labels)

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

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        return ((features - self._middle) / self._scale).astype(np.float32)


def _features(run: Path, keys: list[str]) -> np.ndarray:
    """Features s of all cells of a run's store, float32 (N, D)."""
    import anndata

    try:
        stored = anndata.read_h5ad(run / FEATURES)
    except Exception as error:  # h5py and anndata raise many kinds for a missing or damaged file
        raise InputError(
            f"{run / FEATURES}: missing or damaged; restore it, or fit anew into another folder"
        ) from error
    if stored.obs_names.tolist() != keys:
        raise InputError(f"{run}: {FEATURES} and {CELLS} don't belong together; restore them, or fit anew")
    return np.asarray(stored.X, np.float32)


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
