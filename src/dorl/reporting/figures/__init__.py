"""The figures of the paper and of a run, each written as a PNG at 150 dots per inch."""

from dorl.reporting.figures.confusion import confusion_matrices
from dorl.reporting.figures.curves import class_curves, reliability_diagrams
from dorl.reporting.figures.labs import class_counts, grey_levels
from dorl.reporting.figures.latent import embed_2d, latent_space
from dorl.reporting.figures.panel import reconstruction_panel
from dorl.reporting.figures.training import loss_curve

__all__ = [
    "class_counts",
    "class_curves",
    "confusion_matrices",
    "embed_2d",
    "grey_levels",
    "latent_space",
    "loss_curve",
    "reconstruction_panel",
    "reliability_diagrams",
]
