"""The report's pictures in the README, of a run over rendered labs (never of real cells).

    dorl demo --out demo
    python docs/make_report_pictures.py demo/run

Needs the extra ``test`` (Playwright) and Chromium; writes ``report.png`` and ``report-map.png`` into ``docs/images``.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
#: it asks no host for anything of its own
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
#: colours that a picture is brought down to, so that it stays below 300 kB
COLOURS = 200
#: a screen in CSS pixels, dots a pixel, and dots between screens
PHONE, SHARPNESS, GAP = {"width": 390, "height": 844}, 1.5, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    address = (given.run / "report.html").resolve().as_uri()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        phone = browser.new_page(viewport=PHONE, device_scale_factor=SHARPNESS)
        phone.goto(address)
        save(on_a_phone(phone), IMAGES / "report.png")
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.goto(address)
        choose_a_cell(page)
        save([page.locator("section:has(.cellmap)").screenshot()], IMAGES / "report-map.png")
        browser.close()


def on_a_phone(page: Page) -> list[bytes]:
    """The report's head, its confusion matrices, and the cells most confidently wrong."""
    shots = []
    for place in ("body", "section:has(.matrices)", "section:has(.gallery)"):
        page.locator(place).evaluate("place => place.scrollIntoView()")
        shots.append(page.screenshot())
    return shots


def choose_a_cell(page: Page) -> None:
    """Colour the map by class, and choose the cell nearest its middle."""
    page.get_by_label("class", exact=True).check()
    page.locator("canvas.map").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)


def save(shots: list[bytes], path: Path) -> None:
    """Write screenshots side by side as one PNG."""
    pictures = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (width, max(picture.height for picture in pictures)), "#8d98a6")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + GAP
    whole.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
