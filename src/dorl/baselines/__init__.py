"""What DoRL is compared with, each method behind one interface; see `dorl.baselines.method`.

Nothing here knows the command line, and nothing heavy is imported before a method is built.
"""

from dorl.baselines.cells import Cells, Source
from dorl.baselines.method import Fitted, Method, Options, Row
from dorl.baselines.registry import ROWS

__all__ = ["ROWS", "Cells", "Fitted", "Method", "Options", "Row", "Source"]
