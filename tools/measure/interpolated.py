"""What becomes of `tiny` where its encoder's weights are drawn back towards the ImageNet weights that it started from.

    python tools/measure/interpolated.py acevedo=PBC_dataset_normal_DIB jtsc=JTSC_zheng2018/labels.csv \
        bccd=BCCD_cropped --unlabelled raabin=TXL_fields/raabin

The first lab is the source. Each row is a share of what was learnt; 1 is `tiny` as it ships, 0 has never seen a blood
cell with its convolutions. "Restained" takes no label of another lab: a classifier learns the plain views of two thirds
of the source's cells, and is asked about restained views of the others. Then four classes of the source are learnt, up
to 150 cells each, three draws, by the default classifier and by logistic regression on s. They adapt to the tested lab,
or s is learnt from the source and the unlabelled lab alone. Dice is that of masks, where a lab has them. Accuracies are
in %.

Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022 (arXiv 2109.01903), draw weights back so.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch.nn import functional as F

from dorl.cells.crop import square_crop
from dorl.cells.views import Pictures, Views, cell_pictures, view_tokens
from dorl.classification.views import ViewsClassifier
from dorl.domains import Domain, read_domains
from dorl.pretraining.__main__ import packaged
from dorl.representation import CrossDomainAutoencoder
from dorl.representation.alignment import WIDTH, align
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.tiny import imagenet_state
from dorl.segmentation.cell import find_central_cells
from dorl.taxonomy import shared_level
from dorl.tensorfiles import read_pth

VIEWS = Views()
#: cells of a class that are looked at in the source; that are learnt in a draw; of a lab without labels
LOOKED_AT, LEARNT, UNLABELLED = 200, 150, 300
CLASSES = ["neutrophil", "lymphocyte", "monocyte", "eosinophil"]


def drawn_back(share: float, imagenet: Mapping[str, Tensor]) -> Segmenter:
    """`tiny` with so much of what its encoder's convolutions learnt."""
    segmenter = Segmenter.load("tiny")
    encoder = segmenter.sam.vision_encoder
    state = encoder.state_dict()
    for name, first in imagenet.items():
        wider = state[name].shape[-1] - first.shape[-1] if first.ndim == 4 else 0  # as `Convolution.settle` pads it
        first = F.pad(first, (wider, 0) * 2) if wider else first
        state[name] = share * state[name] + (1 - share) * first.to(state[name])
    encoder.load_state_dict(state)
    return segmenter


def pictures_of(lab: Domain, rows: np.ndarray, views: Views, segmenter: Segmenter) -> Pictures:
    """Views of the cells in these rows, one cell behind the other."""
    found = []
    for start in range(0, len(rows), 16):
        batch = rows[start : start + 16]
        images = [lab.load(int(i)) for i in batch]
        for i, image, cell in zip(batch, images, find_central_cells(segmenter, images), strict=True):
            found.append(cell_pictures(*square_crop(image, cell.mask, segmenter.image_size), views, lab.key(int(i))))
    return Pictures.joined(found)


def described(
    segmenter: Segmenter, autoencoder: CrossDomainAutoencoder, pictures: Pictures, views: Views
) -> np.ndarray:
    """Descriptions (N, VIEWS.total, F) of cells; views that there are not are NaN."""
    parts = []
    for start in range(0, len(pictures.images), 32):
        some = Pictures(*(array[start : start + 32] for array in pictures))
        parts.append(autoencoder.describe(view_tokens(segmenter, some)).numpy())
    rows = np.concatenate(parts).reshape(-1, views.total, parts[0].shape[1])
    found = np.full((len(rows), VIEWS.total, rows.shape[2]), np.nan, np.float32)
    found[:, : views.total] = rows
    return found


def dice(lab: Domain, segmenter: Segmenter) -> float | None:
    """Mean Dice over the lab's masks."""
    rows = [i for i in range(len(lab)) if lab.table["mask"].iat[i]]
    found = []
    for start in range(0, len(rows), 16):
        batch = rows[start : start + 16]
        for i, cell in zip(batch, find_central_cells(segmenter, [lab.load(i) for i in batch]), strict=True):
            mask = lab.load_mask(i)
            found.append(2 * (cell.mask & mask).sum() / max(1, cell.mask.sum() + mask.sum()))
    return float(np.mean(found)) if found else None


def restained(source: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on restained views of cells that weren't learnt, of a classifier of plain views."""
    found = []
    for learnt, asked in StratifiedKFold(3, shuffle=True, random_state=0).split(source, labels):
        plain = source[learnt].copy()
        plain[:, VIEWS.plain :] = np.nan
        model = ViewsClassifier(plain=1).fit(plain, labels[learnt])
        views = [source[asked][:, [number]] for number in range(VIEWS.plain, VIEWS.total)]
        found.append(np.mean([np.mean(model.predict(view) == labels[asked]) for view in views]))
    return float(np.mean(found))


def across(
    source: np.ndarray,
    labels: np.ndarray,
    tested: Mapping[str, tuple[np.ndarray, np.ndarray]],
    unlabelled: list[np.ndarray],
) -> dict[tuple[str, str], list[float]]:
    """Accuracies by lab and by what was asked, a draw each."""
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = np.concatenate([rng.permutation(np.flatnonzero(labels == one))[:LEARNT] for one in CLASSES])
        X, y = source[rows], labels[rows].astype(str)
        seen = {"adapted": [X, *(cells for cells, _ in tested.values()), *unlabelled], "not adapted": [X, *unlabelled]}
        for how, labs in seen.items():
            learnt = align(labs, plain=VIEWS.plain, seed=seed)

            def with_s(rows: np.ndarray, learnt=learnt) -> np.ndarray:
                return np.concatenate([(rows - learnt.mean) @ learnt.basis, rows], -1).astype(np.float32)

            views = with_s(X)
            default = ViewsClassifier(shared=WIDTH).fit(views, y)
            plain = LogisticRegression(max_iter=500).fit(views[..., :WIDTH].reshape(-1, WIDTH), y.repeat(VIEWS.total))
            for name, (cells, truth) in tested.items():
                asked = with_s(cells[np.isin(truth, CLASSES)])
                right = truth[np.isin(truth, CLASSES)].astype(str)
                model = default.suited(asked, another_lab=True, adapt=how == "adapted")
                s = asked[:, : VIEWS.plain, :WIDTH]
                told = plain.predict_proba(s.reshape(-1, WIDTH)).reshape(len(s), VIEWS.plain, -1).mean(1)
                for who, classes in (("default", model.predict(asked)), ("LR on s", plain.classes_[told.argmax(1)])):
                    found.setdefault((f"{who}, {how}", name), []).append(100 * float(np.mean(classes == right)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labs", nargs="+")
    parser.add_argument("--unlabelled", action="append", default=[])
    parser.add_argument("--shares", type=float, nargs="+", default=[1, 0.75, 0.5, 0.25, 0])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    labs, others = read_domains(given.labs), read_domains(given.unlabelled) if given.unlabelled else []
    shipped, autoencoder = Segmenter.load("tiny"), CrossDomainAutoencoder.load("tiny", device="cpu")
    rng = np.random.default_rng(0)
    labels = {lab.name: lab.table["label"].to_numpy(object) for lab in labs}
    own, pictures = labels[labs[0].name], {}
    names = sorted({one for one in own if one})
    level = shared_level(names, sorted({one for lab in labs[1:] for one in labels[lab.name] if one}))
    rows = np.sort(np.concatenate([rng.permutation(np.flatnonzero(own == one))[:LOOKED_AT] for one in names]))
    pictures[labs[0].name] = pictures_of(labs[0], rows, VIEWS, shipped), VIEWS
    plain = Views(VIEWS.plain, 0)
    for lab in labs[1:]:
        pictures[lab.name] = pictures_of(lab, np.arange(len(lab)), plain, shipped), plain
    for lab in others:
        pictures[lab.name] = pictures_of(lab, rng.permutation(len(lab))[:UNLABELLED], plain, shipped), plain
    columns = [f"{who}, {how}" for how in ("adapted", "not adapted") for who in ("default", "LR on s")]
    tested = [lab.name for lab in labs[1:]]
    labs_tested = ", ".join(tested)
    titles = [f"{title}: {labs_tested}; mean" for title in columns]
    print(f"| share | Dice | restained | {' | '.join(titles)} |")
    print(f"|---:|{'---:|' * (2 + len(columns))}")
    imagenet = imagenet_state(read_pth(packaged()))
    for share in given.shares:
        segmenter = drawn_back(share, imagenet)
        found = {name: described(segmenter, autoencoder, *one) for name, one in pictures.items()}
        truth = {name: np.asarray(level.project_all(some), object) for name, some in labels.items()}
        scores = across(
            found[labs[0].name],
            truth[labs[0].name][rows],
            {name: (found[name], truth[name]) for name in tested},
            [found[lab.name] for lab in others],
        )
        outlined = [value for lab in labs if (value := dice(lab, segmenter)) is not None]
        cells = [
            f"{np.mean(outlined):.3f}" if outlined else "",
            f"{100 * restained(found[labs[0].name], own[rows].astype(str)):.1f}",
        ]
        for title in columns:
            means = [np.mean(scores[title, name]) for name in tested]
            each = ", ".join(f"{mean:.1f}" for mean in means)
            cells.append(f"{each}; {np.mean(means):.1f}")
        print(f"| {share:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
