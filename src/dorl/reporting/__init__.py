"""Tables, figures and the HTML report of a run.

Names are imported when first used, so that ``import dorl.reporting`` loads neither matplotlib nor pandas.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
