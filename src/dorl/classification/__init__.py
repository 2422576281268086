"""The classifiers, the scores and the published protocol; nothing here needs torch.

Names are imported when first used, so that ``import dorl.classification`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorl.classification.calibration import (
        Calibration,
        calibrate,
        calibration_error,
        expected_accuracy,
        load_calibration,
        save_calibration,
    )
    from dorl.classification.classifiers import CLASSIFIERS, VIEWS, make_classifier
    from dorl.classification.metrics import confusion, scores
    from dorl.classification.protocol import COLUMNS, LabFeatures, ProtocolResult, cross_lab
    from dorl.classification.saving import load_classifier, save_classifier

_WHERE = {
    "Calibration": "calibration",
    "calibrate": "calibration",
    "calibration_error": "calibration",
    "expected_accuracy": "calibration",
    "save_calibration": "calibration",
    "load_calibration": "calibration",
    "CLASSIFIERS": "classifiers",
    "VIEWS": "classifiers",
    "make_classifier": "classifiers",
    "save_classifier": "saving",
    "load_classifier": "saving",
    "confusion": "metrics",
    "scores": "metrics",
    "COLUMNS": "protocol",
    "LabFeatures": "protocol",
    "ProtocolResult": "protocol",
    "cross_lab": "protocol",
}

__all__ = [
    "CLASSIFIERS",
    "COLUMNS",
    "VIEWS",
    "Calibration",
    "LabFeatures",
    "ProtocolResult",
    "calibrate",
    "calibration_error",
    "confusion",
    "cross_lab",
    "expected_accuracy",
    "load_calibration",
    "load_classifier",
    "make_classifier",
    "save_calibration",
    "save_classifier",
    "scores",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
