from .calibration import (
    Calibration,
    calibrate,
    calibration_error,
    expected_accuracy,
    load_calibration,
    save_calibration,
)
from .classifiers import CLASSIFIERS, VIEWS, make_classifier
from .metrics import confusion, scores
from .protocol import COLUMNS, LabFeatures, ProtocolResult, cross_lab
from .saving import load_classifier, save_classifier

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
