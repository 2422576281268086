from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dorl.representation.alignment import KEPT_CELLS, PARTS, TIMES, WIDTH, align
from dorl.representation.celltokens import Shared
from dorl.representation.clusters import Clusters, cell_space

FEATURES, PLAIN, VIEWS = 40, 2, 4


def lab(
    seed: int, count: int, *, shift: float = 0.0, mix: tuple[float, ...] = (1, 1, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Views (N, VIEWS, FEATURES) of three classes, and their classes.

    Stain moves all views along three directions, restained ones most, and a lab's stain moves all its cells.
    """
    rng = np.random.default_rng(seed)
    y = rng.choice(3, count, p=np.array(mix) / sum(mix))
    cells = 2.0 * np.eye(3, FEATURES)[y] + 0.4 * rng.normal(size=(count, FEATURES))
    stain = np.zeros((count, VIEWS, FEATURES))
    stain[..., -3:] = rng.normal(size=(count, VIEWS, 3)) * np.where(np.arange(VIEWS) < PLAIN, 0.1, 1.5)[:, None]
    moved = np.r_[0.6 * shift * np.array([1, -1, 0.5]), np.zeros(FEATURES - 6), shift * np.ones(3)]
    return (cells[:, None] + stain + moved + 0.1 * rng.normal(size=stain.shape)).astype(np.float32), y


def plain_alone(views: np.ndarray) -> np.ndarray:
    found = views.copy()
    found[:, PLAIN:] = np.nan
    return found


def shared(alignment, views: np.ndarray) -> np.ndarray:
    return (views[:, :PLAIN].mean(1) - alignment.mean) @ alignment.basis


def test_cells_of_a_class_cluster_together_though_no_class_is_told() -> None:
    views, y = lab(0, 240)
    clusters = Clusters(views[:, :PLAIN].mean(1), cell_space(views, PLAIN))
    of = clusters.found(9)
    assert len(set(of)) == 9
    assert sum(np.bincount(y[of == number]).max() for number in set(of)) / len(y) > 0.97


def test_the_space_of_cells_leaves_out_what_restaining_moves() -> None:
    views, _ = lab(0, 200)
    space = cell_space(views, PLAIN)
    weight = np.linalg.norm(space * views[:, 0].std(0)[:, None], axis=1)
    assert weight[-3:].max() < 0.7 * np.median(weight[:-3])


def test_cells_of_a_cluster_are_given_one_mind() -> None:
    views, y = lab(1, 150)
    clusters = Clusters(views[:, :PLAIN].mean(1), cell_space(views, PLAIN))
    told = np.eye(3)[y]
    wrong = np.random.default_rng(0).permutation(150)[:30]
    told[wrong] = np.roll(told[wrong], 1, axis=1)
    agreed = clusters.agreed(told)
    assert (told.argmax(1) == y).mean() == pytest.approx(0.8)
    assert (agreed.argmax(1) == y).mean() > 0.92
    assert np.allclose(agreed.sum(1), 1)


@pytest.mark.filterwarnings("error")
def test_few_or_equal_cells_are_no_error() -> None:
    views, _ = lab(0, 3)
    for some in (views, views[:1], np.repeat(views[:1], 40, 0)):
        assert np.isfinite(align([some], plain=PLAIN).basis).all()


def test_what_is_learnt_in_one_lab_holds_in_another() -> None:
    (source, learnt), (other, truth) = lab(0, 300), lab(1, 200, shift=2.0, mix=(6, 1, 3))
    one = align([source], plain=PLAIN)
    both = align([source, plain_alone(other)], plain=PLAIN)
    assert both.basis.shape == (FEATURES, WIDTH)

    def right(given, asked) -> float:
        return float((LogisticRegression().fit(given, learnt).predict(asked) == truth).mean())

    untouched = right(source[:, :PLAIN].mean(1), other[:, :PLAIN].mean(1))
    aligned = right(shared(both, source), shared(both, other))
    assert aligned > 0.95
    assert aligned > untouched + 0.03
    assert aligned > right(shared(one, source), shared(one, other)) + 0.02


def test_it_goes_on_from_labs_seen_before() -> None:
    (source, _), (other, _), (third, _) = lab(0, 300), lab(1, 200, shift=3.0), lab(2, 20)
    begun = align([source], plain=PLAIN)
    again = begun.with_labs([plain_alone(other)], plain=PLAIN)
    at_once = align([source, plain_alone(other)], plain=PLAIN)
    assert np.allclose(again.basis, at_once.basis)
    assert np.allclose(begun.with_labs([third], plain=PLAIN).basis, begun.basis)  # too few cells to learn from
    assert (again.means == begun.means).all()


def test_the_order_of_labs_and_the_draw_are_no_matter() -> None:
    (source, _), (other, _) = lab(0, 300), lab(1, 200, shift=3.0)
    first = align([source, plain_alone(other)], plain=PLAIN, seed=3)
    second = align([plain_alone(other), source], plain=PLAIN, seed=3)
    assert (first.basis == second.basis).all()
    assert not np.allclose(first.basis, align([source, plain_alone(other)], plain=PLAIN, seed=4).basis)


def test_what_was_learnt_before_comes_first_and_beside_it_a_lab_as_large() -> None:
    (first, _), (small, _), (large, classes) = lab(0, 200), lab(1, 120), lab(2, 240)
    far, truth = lab(3, 200, shift=1.0)
    before = align([first], plain=PLAIN)
    assert before.views == first.shape[0] * VIEWS
    gone_on = align([small], plain=PLAIN, before=before)
    assert np.allclose(gone_on.basis, before.with_labs([small], plain=PLAIN).basis)
    labs = [large, plain_alone(far)]
    both = align(labs, plain=PLAIN, before=before)
    np.testing.assert_array_equal(both.means, before.means)
    alone = align(labs, plain=PLAIN), before.with_labs(labs, plain=PLAIN)
    assert not any(np.allclose(both.basis, one.basis) for one in alone)
    learnt = LogisticRegression().fit(shared(both, large), classes)
    assert (learnt.predict(shared(both, far)) == truth).mean() > 0.93


def test_what_an_earlier_version_learnt_of_fewer_partings_is_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorl.representation.alignment.TIMES", 1)
    first, other = lab(0, 200)[0], plain_alone(lab(1, 120, shift=1.0)[0])
    earlier = align([first], plain=PLAIN)
    monkeypatch.undo()
    now = align([first], plain=PLAIN)
    assert (len(earlier.counts), len(now.counts)) == (sum(PARTS), TIMES * sum(PARTS))
    holder = Shared(FEATURES)
    for learnt in (earlier, now):
        holder.alignment = learnt
        kept = holder.alignment
        assert kept is not None
        assert kept.with_labs([other], plain=PLAIN).basis.shape == (FEATURES, WIDTH)


def test_labs_that_are_kept_are_joined_again_beside_new_ones() -> None:
    (first, _), (other, _), (new, _) = lab(0, 300), lab(1, 400, shift=2.0), lab(2, 120, shift=-1.0)
    alone = align([first, plain_alone(other)], plain=PLAIN)
    kept = align([first, plain_alone(other)], plain=PLAIN, keep=True)
    assert (kept.basis == alone.basis).all()
    assert (len(alone.known), [len(one) for one in kept.known]) == (0, [KEPT_CELLS])
    holder = Shared(FEATURES)
    holder.alignment = kept
    again = holder.alignment
    assert again is not None
    gone_on = align([new], plain=PLAIN, before=again)
    given = align([new, *kept.known], plain=PLAIN, before=alone)
    # distances, whatever the signs; kept in half precision
    told = [one.basis @ one.basis.T for one in (gone_on, given, align([new], plain=PLAIN, before=alone))]
    assert np.abs(told[0] - told[1]).max() < 0.1 * np.abs(told[0] - told[2]).max()
    assert [len(one) for one in gone_on.known] == [KEPT_CELLS]
    holder.forget()
    assert holder.alignment is None
    assert holder.others.numel() == 0
