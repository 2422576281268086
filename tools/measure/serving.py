"""How soon the page shows cells of a large upload, and how much memory that takes.

    python tools/measure/serving.py RUN [LAB] [--images 500]

Serves RUN, sends the images of LAB (rendered cells without one) as one zip, and looks at the sample as the page does:
seconds from the beginning of the upload to the first cells and to the last, the slowest answer meanwhile, and the
server's resident memory (the system's own count) before, after the first half, and at its peak. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from dorl.domains import read_domain
from dorl.domains.rendered import render_lab

EVERY = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("lab", nargs="?")
    parser.add_argument("--images", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if given.lab is None:
            render_lab(place / "lab", style="dune", cells=given.images, seed=5, size=224)
            lab = read_domain(place / "lab" / "manifest.csv")
        else:
            lab = read_domain(given.lab)
        packed = place / "lab.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            step = max(1, len(lab) // given.images)
            for number, path in enumerate(lab.table["path"].iloc[::step].iloc[: given.images]):
                archive.write(lab.root / path, f"{number:05d}{Path(path).suffix}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = ["serve", str(given.run), "--out", str(place / "page"), "--port", str(port)]
        server = subprocess.Popen([sys.executable, "-m", "dorl", *words], stderr=subprocess.DEVNULL)
        try:
            found = measure(f"http://127.0.0.1:{port}", packed, server.pid)
        finally:
            server.terminate()
            server.wait()
    print(json.dumps({**found, "cores": os.cpu_count(), "load": os.getloadavg()[0]}))


def measure(address: str, packed: Path, process: int) -> dict[str, Any]:
    """Send the zip and watch the sample."""
    while True:
        try:
            ask(f"{address}/v1/health")
            break
        except OSError:
            time.sleep(0.2)
    before = resident(process, "VmRSS")
    boundary = "dorl-benchmark"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="lab.zip"\r\n\r\n'
    body = head.encode() + packed.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    began = time.monotonic()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    sent = ask(urllib.request.Request(f"{address}/v1/cells?wait=0", body, headers))
    uploaded = time.monotonic() - began
    sample, first, half, slowest = sent["sample"], None, None, 0.0
    while sample["state"] != "done":
        asked = time.monotonic()
        sample = ask(f"{address}/v1/samples/{sample['id']}/cells")["sample"]
        slowest = max(slowest, time.monotonic() - asked)
        if first is None and sample["looked_at"]:
            first = time.monotonic() - began
        if half is None and 2 * sample["looked_at"] >= sample["images"]:
            half = resident(process, "VmRSS")
        time.sleep(EVERY)
    total = time.monotonic() - began
    return {
        "images": sample["images"],
        "seconds_upload": round(uploaded, 2),
        "seconds_first": round(first or total, 2),
        "seconds_total": round(total, 1),
        "images_per_second": round(sample["images"] / total, 1),
        "slowest_answer_seconds": round(slowest, 2),
        "memory_mb": {
            "before": before,
            "half": half,
            "end": resident(process, "VmRSS"),
            "peak": resident(process, "VmHWM"),
        },
    }


def ask(request: str | urllib.request.Request) -> Any:
    """The JSON of an answer."""
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def resident(process: int, name: str) -> int:
    """A process's memory, MB of 2^20 bytes, as Linux tells it."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    raise SystemExit(f"/proc/{process}/status has no {name}")


if __name__ == "__main__":
    main()
