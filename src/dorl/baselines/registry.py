"""The rows of the benchmark, in the order of its table."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dorl.baselines.method import Options, Row

_SKADA = ("skada", "skorch")


def _frozen(options: Options) -> Any:
    return import_module("dorl.baselines.frozen").Frozen()


def _per_lab(options: Options) -> Any:
    return import_module("dorl.baselines.frozen").PerLab(scorer=options.scorer)


def _bcsam(options: Options) -> Any:
    return import_module("dorl.baselines.bcsam").BCSAM()


def _cfe(options: Options) -> Any:
    return import_module("dorl.baselines.cfe").AECFE(iterations=300 if options.quick else 3000, device=options.device)


def _cnn(kind: str, strong: bool, options: Options) -> Any:
    module = import_module("dorl.baselines.cnn")
    given = options.efficientnet_weights if kind == "efficientnet-lite0" else options.resnext_weights
    schedule = module.schedule(kind, quick=options.quick)
    weights = None if given is None else str(given)
    return module.FineTuned(kind=kind, strong=strong, weights=weights, device=options.device, **schedule)


def _adapted(name: str, options: Options) -> Any:
    module = import_module("dorl.baselines.adaptation")
    return module.Adapted(method=name, scorer=options.scorer, epochs=15 if options.quick else 50)


def _published(options: Options) -> Any:
    return import_module("dorl.baselines.published").Published(quick=options.quick, device=options.device)


def _cnn_row(kind: str, title: str, strong: bool, needs: tuple[str, ...]) -> Row:
    return Row(
        name=f"{kind}{'-augmented' if strong else ''}",
        title=f"{title}{', stain, blur and geometry augmentation' if strong else ''}",
        build=lambda options: _cnn(kind, strong, options),
        sees="source",
        module="dorl.baselines.cnn",
        needs=needs,
        slow=True,
    )


_CNNS = [
    _cnn_row(kind, title, strong, needs)
    for kind, title, needs in (
        ("resnext-bn", "ResNeXt-50, batch norm", ("torchvision",)),
        ("resnext-gn", "ResNeXt-50, group norm", ("torchvision",)),
        ("efficientnet-lite0", "EfficientNet-Lite0", ()),
    )
    for strong in (False, True)
]

#: name → row. A new method is one more `Row`. The improved DoRL goes at the end, with a `Method` of its own:
#: ``Row("dorl", "DoRL", _dorl, sees="labs", module="dorl.baselines.improved")``
ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("frozen", "Frozen features + LR", _frozen, sees="source", module="dorl.baselines.frozen"),
        Row(
            "frozen-per-lab",
            "Frozen features, standardised per lab + LR",
            _per_lab,
            sees="target",
            module="dorl.baselines.frozen",
            needs=("skada",),
        ),
        Row("bc-sam", "BC-SAM", _bcsam, sees="source", module="dorl.baselines.bcsam", whole=True),
        Row("ae-cfe", "AE-CFE", _cfe, sees="labs", module="dorl.baselines.cfe", whole=True),
        *_CNNS,
        Row(
            "dann",
            "DANN on frozen features",
            lambda options: _adapted("DANN", options),
            sees="target",
            module="dorl.baselines.adaptation",
            needs=_SKADA,
        ),
        Row(
            "mcc",
            "MCC on frozen features",
            lambda options: _adapted("MCC", options),
            sees="target",
            module="dorl.baselines.adaptation",
            needs=_SKADA,
        ),
        Row(
            "dorl-published",
            "DoRL as published",
            _published,
            sees="labs",
            module="dorl.baselines.published",
            whole=True,
        ),
    )
}
