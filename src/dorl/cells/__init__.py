"""The cell cut out and brought to common references, its views, and the store of cells on disk."""

from dorl.cells.store import CellStore

__all__ = ["CellStore"]
