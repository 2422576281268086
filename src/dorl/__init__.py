"""DoRL: features of white blood cells that are alike from laboratory to laboratory (arXiv 2408.07467).

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorl.commands.fit import evaluate, fit
    from dorl.commands.predict import predict
    from dorl.domains import Domain, read_domain
    from dorl.representation import CrossDomainAutoencoder
    from dorl.run.model import DoRL, load
    from dorl.segmentation import Segmenter

__version__ = "0.1.0"

_WHERE = {
    "CrossDomainAutoencoder": "dorl.representation",
    "DoRL": "dorl.run.model",
    "Domain": "dorl.domains",
    "Segmenter": "dorl.segmentation",
    "evaluate": "dorl.commands.fit",
    "fit": "dorl.commands.fit",
    "load": "dorl.run.model",
    "predict": "dorl.commands.predict",
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
    from dorl.runtime.memory import without_collection

    with without_collection():
        return getattr(import_module(_WHERE[name]), name)
