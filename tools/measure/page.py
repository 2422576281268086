"""Screenshots of the page for the docs, from rendered cells.

    python tools/measure/page.py RUN [--out docs/images]

RUN is a run over rendered labs, for example demo/run of `make demo`. Renders cells of another laboratory, serves the
run, and drives the page in headless Chromium: page-desktop.png (1280 pixels wide) and page-phone.png (390).
"""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from dorl.domains.rendered import render_lab

#: of the cells that are sent, none of the demo's
STYLE = "dune"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        render_lab(place / "lab", style=STYLE, cells=44, seed=11, size=160)
        images = sorted((place / "lab" / "images").iterdir())
        noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / "lab" / "images" / "noise.png")
        (place / "lab" / "images" / "empty.png").touch()
        packed = shutil.make_archive(str(place / "new-lab"), "zip", place / "lab" / "images")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}"
        words = ["serve", str(given.run), "--out", str(place / "page"), "--port", address.rsplit(":", 1)[1]]
        server = subprocess.Popen([sys.executable, "-m", "dorl", *words], stderr=subprocess.DEVNULL)
        try:
            wait_for(f"{address}/v1/health")
            with sync_playwright() as playwright:
                chromium = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                shoot(browser, address, Path(packed), len(images), given.out)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def wait_for(address: str) -> None:
    """Until the server answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(address):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server didn't start")


def shoot(browser: Browser, address: str, packed: Path, count: int, out: Path) -> None:
    """Send a zip, correct a cell, and take both pictures."""
    page = browser.new_page(viewport={"width": 1280, "height": 960})
    page.goto(address)
    page.wait_for_selector("#files:enabled", state="attached")
    page.set_input_files("#files", packed)
    page.wait_for_selector(f"#sample-facts:has-text('{count + 1} cells')")
    page.wait_for_selector("#working", state="hidden", timeout=120_000)
    page.click("#cells li:nth-child(3) button")
    page.keyboard.press("2")
    page.wait_for_selector("#cells .badge.done")
    page.click("#cells li:nth-child(2) button")
    shot(page, out / "page-desktop.png")
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(address)
    phone.wait_for_selector("#cells img")
    shot(phone, out / "page-phone.png")


def shot(page: Page, path: Path) -> None:
    """The window's picture once its images are there, in 256 colours."""
    page.evaluate("() => scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")
    page.evaluate("() => Promise.all([...document.images].filter((one) => one.complete).map((one) => one.decode()))")
    page.wait_for_timeout(1000)  # to be painted
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
