"""Cells' records that stay on disk: indexed as an array is, read slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils import _safe_indexing

from dorl.cells import CellStore
from dorl.cells.rows import StoredRows


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    made = CellStore.create(tmp_path, width=3, grid=2, mask_size=5, crop_size=4, views=(3, 6))
    rng = np.random.default_rng(0)
    views = rng.normal(size=(10, 3, 6)).astype(np.float16)
    rows = [{"key": str(i)} for i in range(10)]
    made.append(np.zeros((10, 3, 2, 2)), np.ones((10, 5, 5), bool), np.zeros((10, 4, 4, 3), np.uint8), rows, views)
    return made


@pytest.fixture
def array(store: CellStore) -> np.ndarray:
    return store.batch([7, 0, 3, 9, 2], "views")[0]


@pytest.fixture
def rows(store: CellStore) -> StoredRows:
    return StoredRows(store, "views", np.array([7, 0, 3, 9, 2]))


def test_it_looks_like_the_array(rows: StoredRows, array: np.ndarray) -> None:
    assert (rows.shape, rows.ndim, rows.dtype, rows.nbytes, len(rows)) == ((5, 3, 6), 3, np.float16, array.nbytes, 5)
    np.testing.assert_array_equal(np.asarray(rows), array)
    assert np.asarray(rows, np.float64).dtype == np.float64


@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(2, 99), slice(4, 1), slice(None, None, -1)])
def test_a_slice_is_read(rows: StoredRows, array: np.ndarray, part: slice) -> None:
    assert isinstance(rows[part], np.ndarray)
    np.testing.assert_array_equal(rows[part], array[part])


@pytest.mark.parametrize(
    "index",
    [
        np.array([4, 0, 0]),
        [1, 2],
        np.array([True, False, True, True, False]),
        (slice(None), slice(None, 2)),
        (np.array([3, 1]), slice(0, 1)),
        (slice(1, 4), slice(None, 99)),
        (np.array([2, 3]), ...),
    ],
    ids=["numbers", "list", "mask", "cut", "numbers and cut", "slice and wide cut", "numbers and all the rest"],
)
def test_anything_else_is_read_when_it_is_asked_for(rows: StoredRows, array: np.ndarray, index: Any) -> None:
    found = rows[index]
    assert isinstance(found, StoredRows)
    assert found.shape == array[index].shape
    np.testing.assert_array_equal(np.asarray(found), array[index])
    np.testing.assert_array_equal(found[1:2], array[index][1:2])
    np.testing.assert_array_equal(np.asarray(found[np.array([1, 0])]), array[index][[1, 0]])


def test_a_number_of_each_view_is_put_at_its_end(store: CellStore, array: np.ndarray) -> None:
    sizes = np.arange(15, dtype=np.float32).reshape(5, 3)
    rows = StoredRows(store, "views", np.array([7, 0, 3, 9, 2]), then=lambda views: views[..., :4], beside=sizes)
    expected = np.concatenate([array[..., :4], sizes[..., None].astype(np.float16)], -1)
    assert rows.shape == expected.shape
    np.testing.assert_array_equal(rows[1:3], expected[1:3])
    np.testing.assert_array_equal(np.asarray(rows[np.array([4, 0]), :2]), expected[[4, 0], :2])


def test_scikit_learn_takes_its_folds(rows: StoredRows, array: np.ndarray) -> None:
    fold = _safe_indexing(rows, np.array([0, 2]))
    assert isinstance(fold, StoredRows)
    np.testing.assert_array_equal(np.asarray(fold), array[[0, 2]])


@pytest.mark.parametrize("index", [3, (slice(None), 0), (slice(None), slice(1, 2)), (slice(None), slice(None, -1))])
def test_what_would_need_a_copy_is_refused(rows: StoredRows, index: Any) -> None:
    with pytest.raises(IndexError, match="a slice, numbers or a mask"):
        rows[index]


def test_the_views_classifier_learns_the_same_from_disk(tmp_path: Path) -> None:
    from dorl.classification.views import ViewsClassifier

    rng = np.random.default_rng(1)
    labels = np.array(["monocyte", "basophil", "basophil"])[rng.integers(0, 3, 160)]
    views = (rng.normal(size=(160, 3, 6)) + (labels == "basophil")[:, None, None]).astype(np.float16)
    views[::5, 2] = np.nan
    store = CellStore.create(tmp_path, width=1, grid=1, mask_size=1, crop_size=1, views=(3, 6))
    rows = [{"key": str(i)} for i in range(160)]
    store.append(np.zeros((160, 1, 1, 1)), np.ones((160, 1, 1), bool), np.zeros((160, 1, 1, 3), np.uint8), rows, views)
    stored = StoredRows(store, "views", np.arange(160))
    for one, two in ((views, stored), (views[::2], stored[np.arange(0, 160, 2)])):
        memory, disk = (ViewsClassifier().fit(X, labels[: len(one)]) for X in (one, two))
        np.testing.assert_array_equal(memory.coef_, disk.coef_)
        np.testing.assert_array_equal(memory.predict_proba(one), disk.predict_proba(two))
        np.testing.assert_array_equal(memory.adapted(one).means_, disk.adapted(two).means_)


def test_what_is_read_goes_through_a_function(store: CellStore, array: np.ndarray) -> None:
    def doubled(records: np.ndarray) -> np.ndarray:
        return np.concatenate([records, 2 * records], -1).astype(np.float32)

    rows = StoredRows(store, "views", np.array([7, 0, 3, 9, 2]), then=doubled)
    assert (rows.shape, rows.dtype) == ((5, 3, 12), np.float32)
    np.testing.assert_array_equal(np.asarray(rows), doubled(array))
    np.testing.assert_array_equal(rows[:, :2][1:3], doubled(array)[1:3, :2])
    np.testing.assert_array_equal(np.asarray(rows[[4, 0]]), doubled(array)[[4, 0]])
