"""The light of the empty field, against the lamp of rendered fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dorl.domains.rendered import STYLES
from dorl.domains.rendered.field import RenderedField, Scene, render_field
from dorl.segmentation.light import background_light, evenly_lit

PINK = (226.0, 168.0, 186.0)


def rendered(seed: int = 0, **changes: object) -> RenderedField:
    style = replace(STYLES["harbour"], variation=0.0, background=(196.0, 196.0, 192.0), **changes)
    return render_field(Scene((320, 240), 30, 1, style, PINK), np.random.default_rng(seed))


def unevenness(density: np.ndarray) -> float:
    return float(np.ptp(density[::8, ::8], axis=(0, 1)).max())


@pytest.mark.parametrize("seed", range(3))
def test_a_coloured_rim_and_a_vignette_are_measured_through_the_cells(seed: int) -> None:
    truth = rendered(seed, vignette=0.3, gradient=0.2, density=0.45)
    wanted = -np.log(truth.lamp)
    got = background_light(truth.image).density(truth.image.shape[:2])
    error = (got - got.mean(axis=(0, 1))) - (wanted - wanted.mean(axis=(0, 1)))
    assert unevenness(wanted) > 0.3
    assert np.sqrt((error**2).mean()) < 0.1 * unevenness(wanted)


def test_even_light_is_that_of_the_middle_everywhere() -> None:
    truth = rendered(vignette=0.4)
    even = evenly_lit(truth.image, background_light(truth.image))
    assert even.dtype == np.uint8
    empty = (truth.things == 0) & (truth.labels == 0)
    corner, middle = np.zeros((2, *empty.shape), bool)
    corner[:60, :80], middle[90:150, 120:200] = True, True
    before, after = (
        np.abs(np.median(image[empty & corner], axis=0) - np.median(image[empty & middle], axis=0)).max()
        for image in (truth.image, even)
    )
    assert before > 20
    assert after < 6


def test_a_field_in_even_light_is_left_as_it_is() -> None:
    image = np.random.default_rng(0).normal(220, 3, (200, 300, 3)).astype(np.uint8)
    light = background_light(image)
    assert light.unevenness < 0.02
    assert evenly_lit(image, light) is image


def test_what_is_ignored_does_not_bend_the_surface() -> None:
    image = np.full((200, 300, 3), 220, np.uint8)
    image[:, :40] = 255
    ignored = np.zeros(image.shape[:2], bool)
    ignored[:, :42] = True
    assert background_light(image).unevenness > 0.1
    assert background_light(image, ignored=ignored).unevenness < 0.02


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (8, 8)])
@pytest.mark.parametrize("value", [0, 255])
def test_tiny_and_flat_pictures_break_nothing(shape: tuple[int, int], value: int) -> None:
    image = np.full((*shape, 3), value, np.uint8)
    assert (evenly_lit(image, background_light(image)) == image).all()


def test_a_picture_of_one_cell_keeps_its_cell() -> None:
    image = np.full((120, 120, 3), 225, np.uint8)
    rows, columns = np.indices(image.shape[:2])
    cell = np.hypot(rows - 60, columns - 60) < 40
    image[cell] = (150, 90, 170)
    even = evenly_lit(image, background_light(image))
    assert np.abs(even[cell].astype(int) - image[cell]).max() < 8
