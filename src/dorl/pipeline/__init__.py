"""The whole road: the only place that knows every stage. One keyword-only function a command."""

from dorl.pipeline.demo import demo
from dorl.pipeline.fit import evaluate, fit
from dorl.pipeline.inspect import inspect
from dorl.pipeline.masks import finetune, segment
from dorl.pipeline.model import DoRL
from dorl.pipeline.predict import predict
from dorl.pipeline.report import write_run_report

load = DoRL.load

__all__ = [
    "DoRL",
    "demo",
    "evaluate",
    "finetune",
    "fit",
    "inspect",
    "load",
    "predict",
    "segment",
    "write_run_report",
]
