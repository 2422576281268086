from __future__ import annotations

import json

import numpy as np
import pytest

from .two_labs import TwoLabs


def test_cells_are_read_in_the_order_asked_for(two_labs: TwoLabs) -> None:
    tokens, masks, crops = two_labs.target.batch([4, 1], "tokens", "masks", "crops")
    assert tokens.shape == (2, 192, 14, 14)
    assert masks.shape == (2, 224, 224)
    assert crops.shape == (2, 224, 224, 3)
    (again,) = two_labs.target.take([9, 1, 4]).batch([2, 1], "crops")
    np.testing.assert_array_equal(again, crops)
    assert two_labs.target.published([0], "crops")[0].shape == (1, 128, 128, 3)


def test_a_target_has_no_label_and_no_path_that_could_tell_one(two_labs: TwoLabs) -> None:
    assert not hasattr(two_labs.target, "labels")
    for store, columns in ((two_labs.target.square, ["key", "size"]), (two_labs.target.whole, ["key"])):
        assert list(store.table.columns) == columns  # type: ignore[union-attr]
        assert store.table["key"].tolist() == [str(row) for row in range(30)]  # type: ignore[union-attr]
        assert "label" not in json.dumps(store.header)  # type: ignore[union-attr]


def test_classes_are_numbered_in_their_sorted_order(two_labs: TwoLabs) -> None:
    source = two_labs.source.take([5, 0, 3])
    assert [source.classes[number] for number in source.numbers] == source.labels.tolist()
    assert source.classes == sorted(source.classes)


def test_the_published_road_must_be_asked_for(two_labs: TwoLabs) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match=r"set Row\.whole"):
        replace(two_labs.target, whole=None).published([0], "tokens")
