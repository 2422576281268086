"""The whole road: the only place that knows every stage. One keyword-only function a command.

A command's module, and what it needs of the heavy libraries, is imported when the command is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dorl.memory import without_collection

if TYPE_CHECKING:
    from dorl.pipeline.counting import count
    from dorl.pipeline.demonstration import demo
    from dorl.pipeline.exchange import export_official, import_official
    from dorl.pipeline.features import embed
    from dorl.pipeline.finetuning import finetune
    from dorl.pipeline.fitting import evaluate, fit
    from dorl.pipeline.inspection import inspect
    from dorl.pipeline.model import DoRL, load
    from dorl.pipeline.onnx import export_onnx
    from dorl.pipeline.prediction import predict
    from dorl.pipeline.report import write_run_report
    from dorl.pipeline.segmenting import segment
    from dorl.pipeline.serving import serve
    from dorl.pipeline.suggestion import suggest

_WHERE = {
    "DoRL": "model",
    "count": "counting",
    "demo": "demonstration",
    "embed": "features",
    "evaluate": "fitting",
    "export_official": "exchange",
    "export_onnx": "onnx",
    "finetune": "finetuning",
    "fit": "fitting",
    "import_official": "exchange",
    "inspect": "inspection",
    "load": "model",
    "predict": "prediction",
    "segment": "segmenting",
    "serve": "serving",
    "suggest": "suggestion",
    "write_run_report": "report",
}

__all__ = [
    "DoRL",
    "count",
    "demo",
    "embed",
    "evaluate",
    "export_official",
    "export_onnx",
    "finetune",
    "fit",
    "import_official",
    "inspect",
    "load",
    "predict",
    "segment",
    "serve",
    "suggest",
    "write_run_report",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with without_collection():
        return getattr(import_module(f"dorl.pipeline.{_WHERE[name]}"), name)
