from .commands.fit import evaluate, fit
from .commands.predict import predict
from .domains import Domain, read_domain
from .representation import CrossDomainAutoencoder
from .run.model import DoRL, load
from .segmentation import Segmenter

__version__: str

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
