"""Frozen features across labs: the bundled backbone's against ImageNet's, the same crops, logistic regression.

    python tools/measure/frozen_features.py PBC_dataset_normal_DIB jtsc=JTSC_zheng2018/labels.csv bccd=BCCD_cropped
        [--segmenter tiny] [--imagenet efficientnet-lite0.pth] [--source 400]

The classifier sees labels of the first lab only: up to 400 images of each of neutrophil, lymphocyte, monocyte and
eosinophil. Crops are squares of 1.25 times the bounding box of the mask that the segmenter finds; where it finds none,
the whole image. Features: the segmenter's tokens averaged inside the mask; EfficientNet-Lite0's last grid (320
channels) averaged inside the same mask, and its usual 1,280 numbers, averaged over the crop. Prints accuracy and
balanced accuracy on each other lab, and one JSON line; plain, with features standardised per lab, and in their stain
basis: turned, before they are standardised over the first lab, so that what changes a cell's features when the same
picture is stained, lit and sharpened anew lies along axes of its own (Hatch & Stolcke 2006, "Generalized linear kernels
for one-versus-all classification", whose within-class covariance is here that within a cell; no label is needed). The
basis comes from two renderings more of every picture of all labs, or of the first lab alone. The first column,
"restained", takes no label of another lab, so that backbones, and what is done to features, may be chosen by it: two
thirds of the first lab's cells are learnt from as they are, the last third is tested in renderings of random stain,
light and sharpness.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from dorl.cells.crop import square_crop
from dorl.cells.pooling import masked_mean
from dorl.cells.restain import restain
from dorl.domains import Domain, parse_lab, read_domain
from dorl.pretraining.__main__ import packaged
from dorl.pretraining.settings import MEAN, STD
from dorl.runtime.memory import keep_memory
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.tiny import BN_EPS, CompactSpec, imagenet_state
from dorl.segmentation.cell import find_central_cells
from dorl.segmentation.pixels import normalise
from dorl.tensorfiles import read_pth

CLASSES = {
    "neutrophil": "neutrophil",
    "neutrophil_banded": "neutrophil",
    "neutrophil_segmented": "neutrophil",
    "lymphocyte": "lymphocyte",
    "lymphocyte_typical": "lymphocyte",
    "monocyte": "monocyte",
    "eosinophil": "eosinophil",
}
SIDE, BATCH = 224, 8
#: renderings of each picture that the stain basis is learnt from, beside the plain one
RENDERINGS = 2


def imagenet(path: Path) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """EfficientNet-Lite0 with its published weights: crops and masks to features."""
    weights = read_pth(path)
    network = CompactSpec(depth=0).build().vision_encoder
    network.load_state_dict(imagenet_state(weights), strict=False)
    scale = weights["_bn1.weight"] / torch.sqrt(weights["_bn1.running_var"] + BN_EPS)
    head = (
        weights["_conv_head.weight"] * scale[:, None, None, None],
        weights["_bn1.bias"] - weights["_bn1.running_mean"] * scale,
    )

    @torch.inference_mode()
    def features(crops: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
        x: Tensor = F.relu6(network.stem(normalise(torch.from_numpy(crops), MEAN, STD)))
        for stage in network.stages:
            x = stage(x)
        top = F.relu6(F.conv2d(x, *head)).mean((2, 3)).numpy()
        return {"ImageNet, 320, in mask": masked_mean(x.numpy(), masks), "ImageNet, 1280, whole crop": top}

    return features


def stained(crops: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Crops uint8 (B, 224, 224, 3), each as if stained, lit and photographed elsewhere."""
    views = restain(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255, generator)
    return (255 * views).round().byte().permute(0, 2, 3, 1).numpy()


def embed(
    lab: Domain, rows: np.ndarray, segmenter: Segmenter, other: Callable, generator: torch.Generator | None = None
) -> dict[str, np.ndarray]:
    """Features by their name, (N, D) each; with a generator, those of restained crops in place of the plain ones."""
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(rows), BATCH):
        images = [lab.load(int(i)) for i in rows[start : start + BATCH]]
        cells = find_central_cells(segmenter, images)
        crops, masks = (
            np.stack(x) for x in zip(*[square_crop(i, c.mask) for i, c in zip(images, cells, strict=True)], strict=True)
        )
        whole = np.stack([np.asarray(Image.fromarray(image).resize((SIDE, SIDE))) for image in images])
        marks = np.stack([np.asarray(Image.fromarray(c.mask).resize((SIDE, SIDE))) for c in cells])
        if generator is not None:
            crops, whole = stained(crops, generator), stained(whole, generator)
        one = other(crops, masks)
        one["tiny, tokens in mask"] = masked_mean(segmenter(crops).tokens.numpy(), masks)
        one["tiny, tokens in mask, image not cropped"] = masked_mean(segmenter(whole).tokens.numpy(), marks)
        for name, values in one.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def within_cells(renderings: list[np.ndarray]) -> np.ndarray:
    """Covariance (D, D) of features (N, D) over the renderings of each cell."""
    stacked = np.stack(renderings).astype(np.float64)
    apart = (stacked - stacked.mean(0)).reshape(-1, stacked.shape[-1])
    return apart.T @ apart / len(apart)


def learnt(features: np.ndarray, labels: np.ndarray) -> tuple[StandardScaler, LogisticRegression]:
    """Logistic regression over standardised features."""
    scaler = StandardScaler().fit(features)
    return scaler, LogisticRegression(C=0.1, max_iter=500).fit(scaler.transform(features), labels)


def judged(
    features: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    restained: np.ndarray,
    kept: np.ndarray,
    held: np.ndarray,
    *,
    per_lab: bool,
) -> dict[str, float]:
    """One row of the table: learnt from the first lab, tested on its restained cells and on the other labs."""
    source, *others = features
    scaler, model = learnt(features[source], labels[source])
    inner, clean = learnt(features[source][kept], labels[source][kept])
    own = StandardScaler().fit(restained) if per_lab else inner
    row = {"restained": round(float(clean.score(own.transform(restained), labels[source][held])), 4)}
    for lab in others:
        own = StandardScaler().fit(features[lab]) if per_lab else scaler
        said = model.predict(own.transform(features[lab]))
        row[lab] = round(float((said == labels[lab]).mean()), 4)
        row[f"{lab}, balanced"] = round(float(balanced_accuracy_score(labels[lab], said)), 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labs", nargs="+")
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--imagenet", type=Path)
    parser.add_argument("--source", type=int, default=400, help="images of each class of the first lab")
    given = parser.parse_args()
    keep_memory()
    segmenter, other = Segmenter.load(given.segmenter), imagenet(given.imagenet or packaged())
    features, labels, changes = {}, {}, {}
    for number, text in enumerate(given.labs):
        name, path = parse_lab(text)
        lab = read_domain(path, name=name)
        truth = np.array([CLASSES.get(str(label), "") for label in lab.labels])
        rows = np.flatnonzero(truth != "")
        if number == 0:
            order = seeded(0).permutation(rows)
            rows = np.sort(np.concatenate([order[truth[order] == c][: given.source] for c in set(CLASSES.values())]))
        features[lab.name], labels[lab.name] = embed(lab, rows, segmenter, other), truth[rows]
        generator = torch.Generator().manual_seed(1)
        again = [embed(lab, rows, segmenter, other, generator) for _ in range(RENDERINGS)]
        changes[lab.name] = {
            name: within_cells([plain, *(rendering[name] for rendering in again)])
            for name, plain in features[lab.name].items()
        }
        if number == 0:
            order = seeded(1).permutation(len(rows))
            kept, held = order[: 2 * len(rows) // 3], order[2 * len(rows) // 3 :]
            restained = embed(lab, rows[held], segmenter, other, torch.Generator().manual_seed(0))
        print(f"{lab.name}: {len(rows)} cells", flush=True)
    source = next(iter(features))
    results: dict[str, dict[str, float]] = {}
    warnings.simplefilter("ignore")
    for name, plain in features[source].items():
        own = changes[source][name]
        shared = np.mean([change[name] for change in changes.values()], axis=0)
        turns = {
            "": np.eye(plain.shape[1]),
            ", stain basis": np.linalg.eigh(shared)[1],
            ", stain basis of the first lab": np.linalg.eigh(own)[1],
        }
        for how, turn in turns.items():
            turned = {lab: values[name] @ turn for lab, values in features.items()}
            for per_lab in (False, True) if not how else (False,):
                results[f"{name}{how}{', standardised per lab' if per_lab else ''}"] = judged(
                    turned, labels, restained[name] @ turn, kept, held, per_lab=per_lab
                )
    columns = list(next(iter(results.values())))
    print(f"| features | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, row in results.items():
        print(f"| {name} | {' | '.join(f'{row[column]:.3f}' for column in columns)} |")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
