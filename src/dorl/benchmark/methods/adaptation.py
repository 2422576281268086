"""DANN and MCC, through skada, on frozen features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from dorl.benchmark.methods.cells import Cells, Source
from dorl.benchmark.methods.features import inside_mask
from dorl.benchmark.methods.method import Fitted
from dorl.benchmark.methods.selection import HIDDEN, SOURCE, TARGET, choose_without_labels

#: settings that are compared: weight of the adaptation's loss, and whether each lab is standardised by itself
CANDIDATES = tuple((weight, per_lab) for weight in (0.1, 1.0) for per_lab in (False, True))


class Perceptron(nn.Module):
    """From frozen features (B, D) to logits (B, C) through one hidden layer, on which the labs are aligned."""

    def __init__(self, inputs: int, classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, classes)

    def forward(self, X: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Logits; skada hands over `sample_weight`, which isn't used."""
        return self.head(self.features(X))


@dataclass(frozen=True)
class Adapted:
    """A small network on frozen features, adapted to one unlabelled target lab.

    The published ones adapt a whole convolutional network; for two cores, the backbone stays frozen here: its tokens,
    averaged inside the mask, go through a hidden layer of 128, which is made alike in both labs (DANN) or whose
    predictions on the target are made less confused (MCC). The loss' weight, and whether the features are standardised
    by the source or each lab by itself, are chosen by a label-free scorer.

    Parameters
    ----------
    method : {"DANN", "MCC"}
    candidates : tuple of (float, bool)
        Weight, and whether each lab is standardised by itself.
    scorer : str
        One of `dorl.benchmark.methods.selection.SCORERS`.
    epochs, batch_size : int
    learning_rate : float

    References
    ----------
    Ganin et al., *Domain-Adversarial Training of Neural Networks*, arXiv 1505.07818; Jin et al., *Minimum Class
    Confusion for Versatile Domain Adaptation*, arXiv 1912.03699.
    """

    method: str
    candidates: tuple[tuple[float, bool], ...] = CANDIDATES
    scorer: str = "dev"
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 1e-3

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` is one lab."""
        (target,) = targets
        raw, other = inside_mask(source.cells), inside_mask(target)
        by_source, by_target = StandardScaler().fit(raw), StandardScaler().fit(other)
        numbers, classes = source.numbers, np.array(source.classes, object)

        def scaled(features: NDArray[np.float32], lab: str, per_lab: bool) -> NDArray[np.float32]:
            scaler = by_target if per_lab and lab == target.lab else by_source
            return scaler.transform(features).astype(np.float32)

        def learn(
            candidate: tuple[float, bool], rows: NDArray[np.intp]
        ) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
            weight, per_lab = candidate
            X, Z = scaled(raw, source.cells.lab, per_lab), scaled(other, target.lab, per_lab)
            network = self._network(X.shape[1], len(classes), weight, min(len(rows), len(Z)), seed)
            y = np.concatenate([numbers[rows], np.full(len(Z), HIDDEN)])
            domain = np.concatenate([np.full(len(rows), SOURCE), np.full(len(Z), TARGET)])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, about skada's hooks
                network.fit(np.concatenate([X[rows], Z]), y, domain)
            return network, X, Z

        best, chosen_by = choose_without_labels(self.candidates, learn, numbers, scorer=self.scorer, seed=seed)
        network, _, _ = learn(best, np.arange(len(numbers)))
        weight, per_lab = best

        def predict(cells: Cells) -> NDArray[np.object_]:
            features = scaled(inside_mask(cells), cells.lab, per_lab)
            return classes[network.predict(features, np.full(len(features), TARGET))]

        setting = f"weight {weight:g}, standardised {'per lab' if per_lab else 'by the source'}"
        return [Fitted(predict, setting=setting, chosen_by=chosen_by)]

    def _network(self, inputs: int, classes: int, weight: float, fewest: int, seed: int) -> Any:
        """An unfitted network of skada; a batch is no larger than the smaller lab, of which skada would drop it."""
        import skada.deep

        torch.manual_seed(seed)
        more = {"num_features": 128} if self.method == "DANN" else {}
        return getattr(skada.deep, self.method)(
            Perceptron(inputs, classes),
            layer_name="features",
            reg=weight,
            batch_size=min(self.batch_size, fewest),
            max_epochs=self.epochs,
            train_split=None,
            optimizer=torch.optim.Adam,
            lr=self.learning_rate,
            verbose=0,
            **more,
        )
