"""What labs share, learnt without labels: coordinates in which like cells of unlike labs lie together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorl.representation.clusters import Clusters, cell_space
from dorl.representation.discriminant import (
    SHRINKAGE,
    Array,
    Moments,
    asked,
    class_means,
    shrunk,
    sliceable,
    surest,
    whitening,
)

#: numbers of the feature s
WIDTH = 16
#: clusters that the first lab's cells are parted into, for each number so many times, begun at other places each time
PARTS, TIMES = (12, 16, 24, 32, 48), 3
#: how the next labs' cells are given to these clusters: rounds, the surest share of each cluster, a lab's weight
ROUNDS, SHARE, WEIGHT = 3, 0.6, 0.5
#: cells of a lab that are looked at; of more, so many are drawn, and a lab of fewer joins no others
CELLS, MIN_LAB_CELLS = 1500, 30
#: cells of each lab but the first that are kept, where they are, to be joined again when there are new labs
KEPT_CELLS = 300


@dataclass(frozen=True)
class Alignment:
    """The coordinates, and what is needed to go on from them with further labs.

    Attributes
    ----------
    basis : float array of shape (F, WIDTH)
        s is a description less `mean`, times `basis`.
    counts, means : float arrays of shape (P,) and (P, F)
        Of the first lab's clusters, those of all `PARTS` one behind the other, and so again for each of the `TIMES`;
        views of a cell count one each.
    mean, covariance : float arrays of shape (F,) and (F, F)
        Of the first lab's views.
    space : float array of shape (F, K)
        From `cell_space`.
    others : float array of shape (L, M, F)
        Descriptions of cells of further labs, the mean over their plain views; NaN where a lab has fewer than M.
    """

    basis: Array
    counts: Array
    means: Array
    mean: Array
    covariance: Array
    space: Array
    others: Array

    def with_labs(self, labs: Sequence[Any], *, plain: int, seed: int = 0) -> Alignment:
        """Coordinates that these labs share, too.

        Each lab's cells are given to the clusters of the first lab by discriminant analysis. Cells that cluster
        together in their own lab (`Clusters.agreed`) go together. The surest are learnt, and asked again. What then
        parts clusters, and not labs, is kept: the discriminants of the joined clusters, averaged over all partings.

        Parameters
        ----------
        labs : sequence of float arrays of shape (N, V, F)
            Or `dorl.cells.rows.StoredRows` of that shape. Descriptions of views of the cells of each, the plain ones
            first; views that are NaN are passed over.
        plain : int
            Views that tell which cluster a cell belongs to.
        seed : int
        """
        return self._with(self._joined(labs, plain=plain, seed=seed))

    def _joined(self, labs: Sequence[Any], *, plain: int, seed: int) -> tuple[Array, Array]:
        """What parts the joined clusters, and what spreads within them: (F, F) each, the mean over all partings."""
        drawn = [_drawn(lab, seed) for lab in labs if len(lab) >= MIN_LAB_CELLS]
        clusters = [Clusters(lab[:, :plain].mean(1), self.space, seed) for lab in drawn]
        between, within = np.zeros_like(self.covariance), np.zeros_like(self.covariance)
        parted = self._parted()
        for first in parted:
            joined = first
            for _ in range(ROUNDS if drawn else 0):
                weights = joined.analysis()
                joined = first
                for lab, own in zip(drawn, clusters, strict=True):
                    index, sure = surest(own.agreed(asked(lab[:, :plain], *weights)), SHARE)
                    learnt = Moments.of(lab[sure], index[sure], len(first.counts))
                    joined = joined.joined(learnt, WEIGHT * first.counts.sum())
            total = joined.counts.sum()
            apart = (joined.means - joined.counts @ joined.means / total) * np.sqrt(joined.counts / total)[:, None]
            between += apart.T @ apart / len(parted)
            within += joined.scatter / total / len(parted)
        return between, within

    def _with(self, *joined: tuple[Array, Array]) -> Alignment:
        """These, with the coordinates that tell most of what is parted, on average."""
        between, within = (np.mean(matrices, axis=0) for matrices in zip(*joined, strict=True))
        basis = discriminants(between, within)
        # the widest coordinate of the first lab's views has deviation 1
        basis /= np.sqrt(max(np.einsum("fk,fg,gk->k", basis, self.covariance, basis).max(), 1e-12))
        return replace(self, basis=basis)

    def keeping(self, labs: Sequence[Any], *, plain: int, seed: int = 0) -> Alignment:
        """The same, with descriptions of `KEPT_CELLS` cells of each of these labs for those who go on from it."""
        kept = [_drawn(lab, seed, KEPT_CELLS)[:, :plain].mean(1) for lab in labs]
        others = np.full((len(kept), max(map(len, kept), default=0), len(self.mean)), np.nan)
        for place, lab in zip(others, kept, strict=True):
            place[: len(lab)] = lab
        return replace(self, others=others)

    @property
    def known(self) -> list[NDArray[np.float32]]:
        """The labs of `others`, as `with_labs` takes labs: (N, 1, F) each."""
        return [lab[~np.isnan(lab[:, 0])][:, None].astype(np.float32) for lab in self.others]

    @property
    def views(self) -> int:
        """Views of the first lab's cells."""
        return round(float(self.counts[: PARTS[0]].sum()))

    def _parted(self) -> list[Moments]:
        """Clusters of the first lab, parting by parting; an earlier version's file holds each of `PARTS` once."""
        found = []
        for rows in np.split(np.arange(len(self.counts)), np.cumsum(PARTS * (len(self.counts) // sum(PARTS)))[:-1]):
            counts, means = self.counts[rows], self.means[rows]
            apart = means - self.mean
            scatter = counts.sum() * self.covariance - (apart.T * counts) @ apart
            found.append(Moments(counts, means, scatter))
        return found


def align(
    labs: Sequence[Any], *, plain: int, seed: int = 0, before: Alignment | None = None, keep: bool = False
) -> Alignment:
    """Coordinates that labs share, learnt from nothing but their cells.

    The lab with most cells comes first (of those with restained views, where there are any): its clusters are what the
    others' cells are given to, as `Alignment.with_labs` has it. Where something was learnt elsewhere and this lab is as
    large, both come first, each by itself, and what they part is averaged: which clusters of a lab a few hundred cells
    fall into hangs on which cells were drawn, and is less a matter of chance so. No label enters.

    Parameters
    ----------
    labs, plain, seed
        As for `Alignment.with_labs`.
    before : Alignment, optional
        Learnt elsewhere: its first lab stays the one to go on from, and comes first alone unless one of `labs` has as
        many views. The labs that it knows (`Alignment.known`) are joined beside `labs`.
    keep : bool
        Let those who go on from it know the labs but the first: `Alignment.keeping`.

    References
    ----------
    Caron et al. 2018, arXiv 1807.05520 (clusters as classes); Zou et al. 2018, arXiv 1810.07911 (the surest share of
    each class). The joining of clusters that lie together in their own lab is ours.
    """
    drawn = [_drawn(lab, seed) for lab in labs]
    whole = [not np.isnan(lab[:, -1]).all() for lab in drawn]
    largest = max(range(len(labs)), key=lambda number: (whole[number], len(labs[number])))
    first = drawn[largest]
    if before is not None and before.views > np.count_nonzero(~np.isnan(first[..., 0])):
        return before.with_labs([*drawn, *before.known], plain=plain, seed=seed)
    space = cell_space(first, plain)
    clusters = Clusters(first[:, :plain].mean(1), space, seed)
    everything = Moments.of(first, np.zeros(len(first), np.intp), 1)
    numbers = [(count, number) for number in range(TIMES) for count in PARTS]
    parted = [class_means(first, clusters.found(*number), number[0], np.ones(len(first))) for number in numbers]
    mean, covariance = everything.means[0], everything.scatter / everything.counts[0]
    begun = Alignment(
        basis=np.empty(0),
        counts=np.concatenate([counts for counts, _ in parted]),
        means=np.concatenate([means for _, means in parted]),
        mean=mean,
        covariance=covariance,
        space=space,
        others=np.empty((0, 0, len(mean))),
    )
    others = [lab for number, lab in enumerate(drawn) if number != largest]
    if before is None:
        begun = begun.keeping(others, plain=plain, seed=seed) if keep else begun
        return begun.with_labs(others, plain=plain, seed=seed)
    joined = (
        begun._joined([*others, *before.known], plain=plain, seed=seed),
        before._joined([*drawn, *before.known], plain=plain, seed=seed),
    )
    return before._with(*joined)


def discriminants(between: Array, within: Array) -> Array:
    """The `WIDTH` directions (F, WIDTH) that part most for what they spread, longer the more they part.

    Each is as long as makes its spread within the square root of what it parts, so that distances count what parts
    clusters more.
    """
    size = np.sqrt(np.diag(between) + np.diag(within))
    scale = np.where(size > 1e-6 * size.max(), 1 / np.maximum(size, 1e-12), 0)
    white = whitening(shrunk(within * scale * scale[:, None], SHRINKAGE), scale)
    parting, axes = np.linalg.eigh(white.T @ between @ white)
    order = parting.argsort()[::-1][:WIDTH]
    return (white @ axes[:, order]) * np.sqrt(parting[order].clip(0))


def _drawn(lab: Any, seed: int, most: int = CELLS) -> NDArray[np.float32]:
    rows = np.sort(np.random.default_rng(seed).permutation(len(lab))[:most])
    return np.asarray(sliceable(lab)[rows], np.float32)
