"""DoRL: features of white blood cells that are alike from laboratory to laboratory (arXiv 2408.07467).

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorl.domains import Domain, read_domain
    from dorl.pipeline import DoRL, evaluate, fit, load, predict
    from dorl.representation import CrossDomainAutoencoder
    from dorl.segmentation import Segmenter

__version__ = "0.1.0"

_WHERE = {
    "CrossDomainAutoencoder": "dorl.representation",
    "DoRL": "dorl.pipeline",
    "Domain": "dorl.domains",
    "Segmenter": "dorl.segmentation",
    "evaluate": "dorl.pipeline",
    "fit": "dorl.pipeline",
    "load": "dorl.pipeline",
    "predict": "dorl.pipeline",
    "read_domain": "dorl.domains",
}

__all__ = [
    "CrossDomainAutoencoder",
    "DoRL",
    "Domain",
    "Segmenter",
    "__version__",
    "evaluate",
    "fit",
    "load",
    "predict",
    "read_domain",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
