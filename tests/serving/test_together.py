"""What all cells of a sample say together is kept for the sample and each of its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fastapi.testclient import TestClient

from dorl.serving.recogniser import SampleResult

from .asking import send
from .standin import CLASSES, StandIn, grey

MIX = dict(zip(CLASSES, [0.2, 0.7, 0.1], strict=True))


class Corrected(StandIn):
    """Corrects each cell by the mix of its sample."""

    def together(self, inputs: Sequence[bytes]) -> SampleResult:
        """The second class, and unlike."""
        return SampleResult(False, None, np.tile([0.2, 0.7, 0.1], (len(inputs), 1)), np.full(len(inputs), 1.5), MIX)


@pytest.mark.parametrize("recogniser", [StandIn(), Corrected()])
def test_a_mix_corrects_every_cell(opened: Callable[..., TestClient], recogniser: StandIn) -> None:
    client = opened(recogniser, alone=True)
    sample = send(client, ("a.png", grey(20, "PNG")), ("b.png", grey(200, "PNG"))).json()["sample"]["id"]
    answer = client.get(f"/v1/samples/{sample}/cells").json()
    said = [(cell["class"], cell["unlike"]) for cell in answer["cells"]]
    if type(recogniser) is Corrected:
        assert said == [("eosinophil", True)] * 2
        assert answer["sample"]["mix"] == MIX
        assert answer["sample"]["unlike"] == 2
    else:
        assert said == [("basophil", False), ("monocyte", False)]
        assert answer["sample"]["mix"] is None
