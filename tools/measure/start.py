"""How long commands take to begin: `dorl --help`, `dorl predict` of one image, and predicting one with a model at hand.

    python tools/measure/start.py RUN IMAGE [--rounds 5]

Each start is a process of its own; the plain way, beside which it is given, is the same work with the modules of every
command imported first, and garbage collected meanwhile, as `import` does it. Times are medians by the clock and by the
processor; where other work shares the cores, only the second means much. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ALL = (*("convert", "demo", "embed", "finetune", "fit", "inspect", "predict", "segment", "suggest"),)
#: the same command after every command's modules
PLAIN = f"import {', '.join(f'dorl.commands.{name}' for name in ALL)}; from dorl.cli import main; main()"


def child(words: list[str]) -> tuple[float, float]:
    """Seconds by the clock and by the processor of a process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def here(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and by the processor of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    from dorl.domains import read_image
    from dorl.run.model import load
    from dorl.runtime.memory import keep_memory

    keep_memory()  # as the command line does
    model, image = load(given.run), read_image(given.image)
    model.predict([image])
    with tempfile.TemporaryDirectory() as folder:
        predict = ["predict", str(given.run), str(given.image), "--out", str(Path(folder) / "p.csv")]
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "dorl --help": lambda: child([sys.executable, "-m", "dorl", "--help"]),
            "dorl --help, plain": lambda: child([sys.executable, "-c", PLAIN, "--help"]),
            "dorl predict, one image": lambda: child([sys.executable, "-m", "dorl", *predict]),
            "dorl predict, one image, plain": lambda: child([sys.executable, "-c", PLAIN, *predict]),
            "predict, model at hand": lambda: here(lambda: model.predict([image])),
        }
        clocks: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, way in ways.items():
                clocks[name].append(way())
    rows = []
    for name, pairs in clocks.items():
        wall, processor = (statistics.median(values) for values in zip(*pairs, strict=True))
        rows.append({"what": name, "seconds": round(wall, 3), "processor_seconds": round(processor, 3)})
        print(f"{name:32} {wall:8.3f} s  {processor:8.3f} s of a processor")
    print(json.dumps({"rounds": given.rounds, "cores": os.cpu_count(), "rows": rows}))


if __name__ == "__main__":
    main()
