"""Scale bars, lettering, frames and pointers over rendered fields."""

from __future__ import annotations

import numpy as np
import pytest

from dorl.domains.rendered import STYLES
from dorl.domains.rendered.field import THINGS, Scene, render_field
from dorl.domains.rendered.marks import MARKS
from dorl.segmentation.marks import find_marks

#: least share of each mark's pixels that is found; of lettering of ten pixels the strokes' middles are
LEAST = {"scale bar": 0.8, "lettering": 0.2, "frame": 0.95, "round stop": 0.95, "pointer": 0.95}


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_found_and_no_cell_with_it(mark: str) -> None:
    truth = render_field(Scene((320, 240), 40, 1, STYLES["harbour"], marks=(mark,)), np.random.default_rng(1))
    own = truth.things == THINGS.index("mark")
    found = find_marks(truth.image)
    assert found[own].mean() >= LEAST[mark]
    assert found[(truth.labels > 0) & ~own].mean() < 0.15


@pytest.mark.parametrize("style", STYLES)
def test_dark_nuclei_and_grains_of_stain_are_no_marks(style: str) -> None:
    scene = Scene((320, 240), 40, 2, STYLES[style], deposits=20)
    truth = render_field(scene, np.random.default_rng(3))
    assert find_marks(truth.image)[truth.labels > 0].mean() < 0.05


def test_coloured_lettering_is_found_and_an_empty_field_has_none() -> None:
    image = np.full((200, 300, 3), 220, np.uint8)
    assert not find_marks(image).any()
    image[180:184, 200:280] = (255, 0, 0)
    assert find_marks(image)[180:184, 200:280].all()
