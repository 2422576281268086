"""Rendered fields: that the truth is that of the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dorl.domains.rendered import CELL_CLASSES, STYLES
from dorl.domains.rendered.field import THINGS, Scene, render_field
from dorl.errors import InputError

PLAIN = replace(STYLES["harbour"], variation=0.0, noise=0.0)


def test_boxes_labels_and_classes_are_of_the_same_cells() -> None:
    truth = render_field(Scene((400, 300), 30, 6, PLAIN), np.random.default_rng(0))
    assert truth.image.shape == (300, 400, 3)
    assert truth.image.dtype == np.uint8
    assert len(truth.boxes) == len(truth.classes) == truth.labels.max() == 6
    assert set(truth.classes) <= set(CELL_CLASSES)
    for number, (left, top, right, bottom) in enumerate(truth.boxes, start=1):
        rows, columns = np.nonzero(truth.labels == number)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)
        assert 20 < right - left < 100
        inside = truth.image[truth.labels == number].mean()
        assert inside < truth.image[(truth.labels == 0) & (truth.things == 0)].mean() - 20


def test_the_same_state_gives_the_same_field() -> None:
    scene = Scene((200, 160), 30, 2, STYLES["dune"], rouleaux=0.5, deposits=5, marks=("scale bar",), tilt=0.05)
    first, again, other = (render_field(scene, np.random.default_rng(seed)).image for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_things_are_where_they_are_said_to_be() -> None:
    scene = Scene((400, 300), 40, 0, replace(PLAIN, debris=2.0), deposits=20, marks=("scale bar",))
    truth = render_field(scene, np.random.default_rng(0))
    assert not len(truth.boxes)
    assert set(np.unique(truth.things)) == set(range(len(THINGS)))
    empty = np.median(truth.image[truth.things == 0])
    for name in ("red cell", "platelet", "deposit"):
        assert truth.image[truth.things == THINGS.index(name)].mean() < empty - 10


def test_the_lamp_has_the_rims_colour_in_the_corners() -> None:
    style = replace(PLAIN, density=0.0, debris=0.0, gradient=0.0, vignette=0.0)
    truth = render_field(Scene((200, 160), 30, 0, style, (250.0, 150.0, 180.0)), np.random.default_rng(0))
    spread = [np.ptp(truth.lamp[row, column]) for row, column in ((0, 0), (80, 100))]
    assert spread[0] > spread[1] + 0.05
    density = np.log(truth.image[::20, ::20] / 255) - np.log(truth.lamp[::20, ::20])
    assert density.std(axis=(0, 1)).max() < 0.05


def test_a_field_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="has no room"):
        render_field(Scene((60, 200), 40), np.random.default_rng(0))
