"""The classifiers, the scores and the published protocol; nothing here needs torch.

Names are imported when first used, so that ``import dorl.classification`` costs nothing.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
