"""What DoRL is compared with, each method behind one interface; see `dorl.benchmark.methods.method`.

Nothing here knows the command line, and nothing heavy is imported before a method is built.
"""

from dorl.benchmark.methods.cells import Cells, Source
from dorl.benchmark.methods.method import Fitted, Method, Options, Row
from dorl.benchmark.methods.registry import ROWS

__all__ = ["ROWS", "Cells", "Fitted", "Method", "Options", "Row", "Source"]
