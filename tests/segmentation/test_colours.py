"""Why a field has no white cells: its colours, where these are to blame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.domains import read_image
from dorl.domains.boxes import read_fields
from dorl.segmentation import Segmenter
from dorl.segmentation.colours import colour_fault
from dorl.segmentation.fields import find_cells


@pytest.fixture(scope="module")
def tiny() -> Segmenter:
    return Segmenter.load("tiny")


def test_grey_and_blank_fields(tiny: Segmenter, smear: Path) -> None:
    image = read_image(smear / "one.png")
    fault = colour_fault(tiny, np.repeat(image[..., 1:2], 3, axis=2))
    assert fault is not None
    assert fault.startswith("is grey")
    for grey in (0, 128, 255):
        assert colour_fault(tiny, np.full((100, 120, 3), grey, np.uint8)) is None


@pytest.mark.slow
@pytest.mark.shared
def test_real_fields_with_red_and_blue_swapped(tiny: Segmenter, data: Path) -> None:
    for field in read_fields(data / "BCCD_fields")[:3]:
        image = read_image(field.path)
        swapped = np.ascontiguousarray(image[..., ::-1])
        assert find_cells(tiny, swapped) == []
        fault = colour_fault(tiny, swapped)
        assert fault is not None
        assert fault.startswith("its red and blue look swapped")
        # of the parts without white cells none is called swapped
        boxes = field.of("WBC")
        half = image.shape[1] // 2
        for left, right in ((0, half), (half, 2 * half)):
            if not any(box[0] < right and box[2] > left for box in boxes):
                assert colour_fault(tiny, image[:, left:right]) is None
