"""A recogniser without a model, for tests of what surrounds it."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from dorl.serving.recogniser import PICTURES, CellOfField, SampleResult, SeenCell, SeenField

CLASSES = ["basophil", "eosinophil", "monocyte"]


class StandIn:
    """Takes the grey level of an image for its class: up to 84 the first, up to 169 the second, then the third.

    A white image shows no cell.

    Parameters
    ----------
    version : str
    classes : sequence of str
        Three.
    pause : float
        Seconds that each look takes.
    """

    def __init__(self, version: str = "one", classes: Sequence[str] = CLASSES, pause: float = 0) -> None:
        self.name = "stand-in"
        self.version = version
        self.classes = list(classes)
        self.facts: dict[str, Any] = {"classifier": "none", "source": ["nowhere"], "accuracy_held_out": None}
        self.pause = pause
        self.searched = 0

    def look(self, images: Sequence[np.ndarray]) -> list[SeenCell]:
        """Each by its grey level."""
        time.sleep(self.pause)
        return [self._seen(float(image.mean())) for image in images]

    def search(self, image: np.ndarray) -> SeenField:
        """Two cells, side by side."""
        time.sleep(self.pause)
        self.searched += 1
        height, width = image.shape[:2]
        half = width // 2
        boxes = [(0, 0, half, height), (half, 0, width, height)]
        cells = [CellOfField(box, True, grey(100, "PNG"), self._seen(100)) for box in boxes]
        return SeenField((width, height), None, cells, {"image": grey(100), "outlined": grey(100)})

    def together(self, inputs: Sequence[bytes]) -> SampleResult:
        """Nothing more; asked of found cells alone."""
        assert set(inputs) == {b"cell"}
        return SampleResult(False, None, np.zeros((len(inputs), 3)), np.zeros(len(inputs)))

    def training_picture(self, row: int) -> bytes:
        """The same for each row."""
        return grey(100)

    def _seen(self, level: float) -> SeenCell:
        best, found = min(int(level // 85), 2), level < 255
        probabilities = [0.8 if number == best else 0.1 for number in range(3)] if found else None
        pictures = dict.fromkeys(PICTURES, grey(round(level)))
        return SeenCell(probabilities, found, float(found), 0.5, [], pictures, b"cell" if found else b"none")


def grey(level: int, kind: str = "JPEG") -> bytes:
    """A picture of one grey, 0-255."""
    made = io.BytesIO()
    Image.new("L", (16, 16), level).save(made, kind)
    return made.getvalue()
