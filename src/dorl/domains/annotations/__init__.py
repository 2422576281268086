"""Cells of other tools' annotation files, in and out."""

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.reading import ANNOTATIONS, read_annotated, read_annotations

__all__ = ["ANNOTATIONS", "AnnotatedImage", "Cell", "read_annotated", "read_annotations"]
