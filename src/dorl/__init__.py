"""DoRL: features of white blood cells that are alike from laboratory to laboratory (arXiv 2408.07467).

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_imported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __getattr__(name: str) -> Any:
    from dorl.runtime.memory import without_collection

    with without_collection():
        return _imported(name)
