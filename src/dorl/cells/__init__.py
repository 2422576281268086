"""The store on disk between segmenting and everything that learns from cells."""

from dorl.cells.store import CellStore

__all__ = ["CellStore"]
