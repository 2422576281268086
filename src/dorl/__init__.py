"""DoRL: features of white blood cells that are alike from laboratory to laboratory (arXiv 2408.07467).

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
