"""The whole road: the only place that knows every stage. One keyword-only function a command."""

from dorl.pipeline.demonstration import demo
from dorl.pipeline.exchange import export_official, import_official
from dorl.pipeline.features import embed
from dorl.pipeline.finetuning import finetune
from dorl.pipeline.fitting import evaluate, fit
from dorl.pipeline.inspection import inspect
from dorl.pipeline.model import DoRL
from dorl.pipeline.prediction import predict
from dorl.pipeline.report import write_run_report
from dorl.pipeline.segmenting import segment
from dorl.pipeline.serving import serve
from dorl.pipeline.suggestion import suggest

load = DoRL.load

__all__ = [
    "DoRL",
    "demo",
    "embed",
    "evaluate",
    "export_official",
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
