"""Stage 2: the cross-domain autoencoder turns tokens into features that are alike from lab to lab.

Names are imported when first used: what classifiers take from here (`discriminant`, `clusters`) needs no torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
