"""Names that stood here in version 0.1; each warns, and says where it is now. This module goes in version 0.3."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

_MODULES = {
    "DoRL": "run.model",
    "benchmark": "commands.benchmark",
    "count": "commands.count",
    "demo": "commands.demo",
    "embed": "commands.embed",
    "evaluate": "commands.fit",
    "export_official": "commands.convert",
    "export_onnx": "commands.export_onnx",
    "finetune": "commands.finetune",
    "fit": "commands.fit",
    "import_official": "commands.convert",
    "inspect": "commands.inspect",
    "load": "run.model",
    "predict": "commands.predict",
    "segment": "commands.segment",
    "serve": "commands.serve",
    "suggest": "commands.suggest",
    "write_run_report": "reporting.report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"dorl.{_MODULES[name]}"
    warnings.warn(f"{__name__}.{name} is {module}.{name} now", DeprecationWarning, stacklevel=2)
    return getattr(import_module(module), name)
