"""The figures of a run, drawn from what it made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dorl.classification import ProtocolResult
from dorl.classification.answers import Answers
from dorl.domains import Domain
from dorl.domains.statistics import class_counts as count_classes
from dorl.domains.statistics import grey_levels as measure_grey_levels
from dorl.reporting import (
    class_counts,
    class_curves,
    confusion_matrices,
    embed_2d,
    grey_levels,
    latent_space,
    loss_curve,
    reconstruction_panel,
    reliability_diagrams,
)
from dorl.reporting.figures.latent import PLACED_BY_UMAP
from dorl.representation.features import reconstructed
from dorl.run.features import Represented
from dorl.run.folder import HISTORY, PUBLISHED
from dorl.runtime.progress import say
from dorl.runtime.training import seeded

FOLDER = "figures"
#: images of a lab that its grey-level distribution is measured on
GREY_SAMPLE = 500
#: cells of a lab in the reconstruction panel
PANEL_CELLS = 3
#: file name and caption, in the order of the report
CAPTIONS = {
    "grey_levels": f"Grey-level distribution of each lab (up to {GREY_SAMPLE} images a lab; paper, Figure 1).",
    "class_counts": "Cells of each class in each lab (paper, Figure 4).",
    "reconstructions": "Original, segmented and reconstructed cells (paper, Figure 5).",
    "latent_space": "Features of all cells placed in the plane by UMAP, by lab and by class.",
    "curves": "Default classifier, each class against the rest (in brackets: its cells). Left: ROC curves; "
    "dotted: a guess. "
    "Right: precision over recall. Probabilities of the folds' classifiers, averaged where several were asked.",
    "reliability": "Default classifier: how often answers of a confidence are right; on the dotted line the "
    "two agree. Points "
    "are as large as their cells are many. ECE: expected calibration error, over 15 bins.",
    "loss": "The autoencoder's losses while training.",
}


def draw_labs(labs: list[Domain], folder: Path, *, limit: int | None = GREY_SAMPLE, seed: int = 0) -> None:
    """Grey levels and class counts, from the images alone."""
    histograms = {lab.name: measure_grey_levels(lab, limit=limit, seed=seed) for lab in labs}
    grey_levels(histograms, folder / "grey_levels.png")
    class_counts(count_classes(labs), folder / "class_counts.png")


def draw_run(represented: Represented, result: ProtocolResult | None, out: Path) -> np.ndarray:
    """Every figure of a run, into ``figures/``; returns each cell's place in the plane, float32 (N, 2)."""
    folder = out / FOLDER
    say("drawing the figures")
    draw_labs(represented.labs, folder, seed=represented.config.seed)
    reconstruction_panel(_panel(represented), folder / "reconstructions.png")
    labels = represented.cells["label"].where(represented.cells["label"].notna(), None).tolist()
    if len(represented.cells) > PLACED_BY_UMAP:
        say(
            f"map: UMAP places {PLACED_BY_UMAP} of {len(represented.cells)} cells; the others lie at the mean place of "
            "their nearest"
        )
    placed = embed_2d(represented.features, represented.config.seed)
    latent_space(placed, represented.cells["domain"].tolist(), labels, folder / "latent_space.png")
    if (out / HISTORY).exists():
        history = pd.read_csv(out / HISTORY)
        loss_curve(history.rename(columns={"iteration": "step"}), folder / "loss.png")
    if result is not None:
        default = represented.config.classifiers.default
        shown = {
            f"{train} → {test}": matrix
            for (train, test, classifier), matrix in result.confusions.items()
            if classifier == default
        }
        confusion_matrices(shown, folder / "confusion.png")
        answers_by_lab: dict[str, Answers] = {}
        for (train, test, _, classifier), answers in result.answers.items():
            if classifier == default:  # of a pair that two protocols compared, the first, as in the matrices
                answers_by_lab.setdefault(f"{train} → {test}", answers)
        class_curves(answers_by_lab, folder / "curves.png")
        reliability_diagrams(answers_by_lab, folder / "reliability.png")
    return placed


def _panel(represented: Represented) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """A few cells of each lab, drawn by the run's seed."""
    rows = []
    for number, lab in enumerate(represented.labs):
        members = np.flatnonzero((represented.cells["domain"] == lab.name).to_numpy())
        chosen = seeded(represented.config.seed, number).permutation(members)[:PANEL_CELLS]
        if not len(chosen):
            continue
        crops, drawn = _drawn(represented, chosen)
        for cell, crop, drawing in zip(chosen, crops, drawn, strict=True):
            rows.append((lab.name, represented.image(cell), crop, drawing))
    return rows


def _drawn(represented: Represented, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut out and drawn cells, uint8 (B, S, S, 3) each."""
    if represented.config.method == PUBLISHED:
        tokens, crops = represented.store.batch(chosen, "tokens", "crops")
        return crops, represented.model.draw(torch.from_numpy(tokens)).cpu().numpy()
    return reconstructed(represented.model, represented.plain_views(chosen))
