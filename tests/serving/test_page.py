"""The page in a browser: Debian's Chromium through Playwright."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dorl.serving.app import make_app
from dorl.serving.model import RunRecogniser

from .asking import zipped
from .browsing import listening, watched

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def address(recogniser: RunRecogniser, tmp_path: Path, images: list[Path]) -> Iterator[str]:
    """Of a page that listens, with the folder ``few`` of three images."""
    few = tmp_path / "few"
    few.mkdir()
    for path in images[:3]:
        shutil.copy(path, few)
    with listening(make_app(recogniser, tmp_path / "page", allowed={"few": few})) as address:
        yield address


@pytest.fixture
def page(browser: api.Browser, address: str) -> Iterator[api.Page]:
    """The page at desktop width; any fault in its scripts, and any request to another host, fails the test."""
    with watched(browser, address) as opened:
        yield opened


def upload(page: api.Page, images: list[Path]) -> None:
    data = zipped({path.name: path.read_bytes() for path in images})
    page.set_input_files("#files", {"name": "slide.zip", "mimeType": "application/zip", "buffer": data})
    api.expect(page.locator("#cells li")).to_have_count(len(images), timeout=60_000)
    api.expect(page.locator("#working")).to_be_hidden(timeout=60_000)


def test_upload_correct_export_reload(page: api.Page, images: list[Path], tmp_path: Path) -> None:
    upload(page, images[:6])
    words = page.locator("#cells .cell-class").all_inner_texts()
    assert all(re.fullmatch("[a-z, ]+", word) for word in words)
    page.locator("#cells button").nth(2).click()
    detail = page.locator("#detail")
    api.expect(detail).to_contain_text(images[2].name)
    api.expect(detail.locator(".neighbours img")).to_have_count(6)
    for picture in detail.locator("img").all():
        assert picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 0
    # a class by its key, and on to the next cell
    said = detail.locator(".choice.likeliest").get_attribute("data-choice")
    other = detail.locator(".choice:not(.likeliest)").first
    label, key = other.get_attribute("data-choice"), other.locator("kbd").inner_text()
    assert label
    assert label != said
    page.keyboard.press(key)
    api.expect(page.locator("#cells li").nth(2)).to_contain_text("corrected")
    api.expect(page.locator("#cells [aria-current=true]")).to_have_attribute("title", images[3].name)
    # a class that the run doesn't know, by the list
    page.select_option("#other", "smudge_cell")
    api.expect(page.locator("#cells li").nth(3)).to_contain_text("smudge cell")
    with page.expect_download() as download:
        page.click("#export-table")
    download.value.save_as(tmp_path / "cells.csv")
    rows = list(csv.DictReader((tmp_path / "cells.csv").open()))
    assert [row["label"] for row in rows] == ["", "", label, "smudge_cell", "", ""]
    assert rows[2]["predicted"] == said
    page.reload()
    api.expect(page.locator("#cells li").nth(2)).to_contain_text("corrected")
    api.expect(page.locator("#sample-facts")).to_contain_text("2 checked, 2 of them corrected")
    page.select_option("#show", "corrected")
    api.expect(page.locator("#cells li")).to_have_count(2)


def test_the_keyboard_is_enough(page: api.Page, images: list[Path]) -> None:
    upload(page, images[:12])
    current = page.locator("#cells [aria-current=true]")
    for _ in range(60):
        if page.evaluate("() => document.activeElement.matches('#cells button')"):
            break
        page.keyboard.press("Tab")
    api.expect(current).to_be_focused()
    api.expect(current).to_have_attribute("title", images[0].name)
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    columns = page.evaluate(
        "() => getComputedStyle(document.getElementById('cells')).gridTemplateColumns.split(' ').length"
    )
    for key, place in (("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("End", 11), ("Home", 0)):
        page.keyboard.press(key)
        api.expect(current).to_have_attribute("title", images[place].name)
    assert "outlined" in str(current.locator("img").get_attribute("src"))
    page.keyboard.press("o")
    api.expect(current.locator("img")).to_have_attribute("src", re.compile("/image.jpg$"))
    page.keyboard.press("1")
    first = page.locator("#cells li").first
    api.expect(first).to_contain_text(re.compile("checked|corrected"))
    api.expect(current).to_have_attribute("title", images[1].name)
    page.keyboard.press("ArrowLeft")
    api.expect(current).to_have_attribute("title", images[0].name)
    page.keyboard.press("u")
    api.expect(first).not_to_contain_text(re.compile("checked|corrected"))


def test_quick_keys_are_for_one_cell_each(page: api.Page, images: list[Path], recogniser: RunRecogniser) -> None:
    upload(page, images[:5])
    page.locator("#cells button").first.click()
    for number in range(5):
        page.keyboard.press(str(1 + number % 3))
    api.expect(page.locator("#sample-facts")).to_contain_text("5 checked")
    expected = [recogniser.classes[number % 3].split("_")[0] for number in range(5)]
    for item, word in zip(page.locator("#cells .cell-class").all(), expected, strict=True):
        api.expect(item).to_contain_text(word)


def test_what_is_refused_is_told_and_a_folder_is_taken(page: api.Page) -> None:
    page.set_input_files("#files", {"name": "a.png", "mimeType": "image/png", "buffer": b"hello"})
    api.expect(page.locator("#fault")).to_contain_text("a.png: not a readable")
    page.click("#folder-form button")
    api.expect(page.locator("#cells li")).to_have_count(3, timeout=60_000)
    api.expect(page.locator("#fault")).to_be_hidden()


def test_on_a_phone_nothing_is_cut_off(browser: api.Browser, page: api.Page, address: str, images: list[Path]) -> None:
    upload(page, images[:6])
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(address)
    api.expect(phone.locator("#cells li")).to_have_count(6)
    wide = "() => document.documentElement.scrollWidth"
    assert phone.evaluate(wide) <= 390
    phone.locator("#cells button").nth(1).click()
    api.expect(phone.locator("#detail")).to_contain_text(images[1].name)
    assert phone.evaluate(wide) <= 390
    phone.locator(".choice").nth(1).click()
    api.expect(phone.locator(".choice").nth(1)).to_have_attribute("aria-pressed", "true")
    phone.click("#close")
    api.expect(phone.locator("#detail")).to_be_hidden()
    api.expect(phone.locator("#cells li").nth(1)).to_contain_text(re.compile("checked|corrected"))
    phone.close()


def test_words_can_be_read_and_named(page: api.Page, images: list[Path]) -> None:
    """Each control has a name; words stand out from their ground by 4.5 to 1 or more (WCAG 2.2, AA)."""
    upload(page, images[:3])
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, select, input, img, progress")].filter((one) =>
            one.checkVisibility() && one.tagName !== "IMG" && !(one.labels?.length || one.textContent.trim()
            || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby"))).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    pale = page.evaluate(
        """() => {
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
        const ground = (one) => {
            for (; one; one = one.parentElement) {
                const colour = parse(getComputedStyle(one).backgroundColor);
                if (colour.length === 3 || colour[3] > 0) return colour;
            }
            return [255, 255, 255];
        };
        return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && !one.disabled
            && [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
            && !one.closest(":disabled")).map((one) => {
            const pair = [parse(getComputedStyle(one).color), ground(one)].map(light).sort((a, b) => b - a);
            return [(pair[0] + .05) / (pair[1] + .05), one.outerHTML.slice(0, 80)];
        }).filter(([contrast]) => contrast < 4.5);
    }"""
    )
    assert pale == []


def test_the_command_serves_and_stops(fitted: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(fitted), "--out", str(tmp_path / "page"), "--port", str(port), "--device", "cpu"]

    def as_on_a_terminal() -> None:  # what a shell starts in the background is deaf to Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "dorl", *words]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=as_on_a_terminal)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health") as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.1)
        again = [sys.executable, "-m", "dorl", *words[:4], "--port", "0"]
        second = subprocess.run(again, capture_output=True, text=True)
        assert second.returncode == 2
        assert "another dorl serve works in it" in second.stderr
    finally:
        server.send_signal(signal.SIGINT)
        said = server.communicate(timeout=30)[1]
    assert server.returncode == 130
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said


def test_fields_are_searched_shown_and_corrected(browser: api.Browser, page: api.Page, smear: Path) -> None:
    page.check("input[name=kind][value=fields]")
    page.set_input_files("#files", [smear / "one.png", smear / "two.png", smear / "zz-empty.png"])
    api.expect(page.locator("#field option")).to_have_count(4, timeout=60_000)  # with "all fields"
    api.expect(page.locator("#working")).to_be_hidden(timeout=60_000)
    boxes, cells = page.locator("#boxes button"), page.locator("#cells li")
    count = boxes.count()
    assert count >= 3
    api.expect(cells).to_have_count(count)
    api.expect(page.locator("#field-picture figcaption")).to_contain_text("one.png · 256 × 256 px · red cells")
    image = page.locator("#field-picture img")
    assert image.evaluate("(one) => one.decode().then(() => one.naturalWidth)") == 256
    # a cell is chosen where it lies
    boxes.nth(1).click()
    api.expect(cells.nth(1).locator("button")).to_have_attribute("aria-current", "true")
    api.expect(page.locator("#detail")).to_contain_text("one.png, cell 2")
    frame = image.bounding_box()
    for box in boxes.all():
        place = box.bounding_box()
        for start, length in (("x", "width"), ("y", "height")):
            assert frame[start] - 1 <= place[start]
            assert place[start] + place[length] <= frame[start] + frame[length] + 1
    page.select_option("#other", "smudge_cell")
    api.expect(boxes.nth(1)).to_contain_text("smudge cell")
    api.expect(page.locator("#differential tr", has_text="smudge cell")).to_contain_text("1")
    # the next field, one without cells, and all
    page.click("#field-after")
    api.expect(page.locator("#field-picture figcaption")).to_contain_text("two.png")
    page.click("#field-after")
    api.expect(page.locator("#none")).to_contain_text("No white cell was found in this field")
    api.expect(page.locator("#field-after")).to_be_disabled()
    page.select_option("#field", "0")
    api.expect(page.locator("#field-picture")).to_be_hidden()
    assert cells.count() > count
    page.select_option("#field", label=page.locator("#field option").nth(1).inner_text())
    api.expect(boxes).to_have_count(count)
    page.reload()
    api.expect(boxes.nth(1)).to_contain_text("smudge cell")
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(page.url)
    api.expect(phone.locator("#boxes button")).to_have_count(count)
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390
    phone.close()
    page.check("input[name=kind][value=cells]")
    page.set_input_files("#files", smear / "one.png")
    api.expect(page.locator("#differential")).to_be_hidden(timeout=60_000)
    api.expect(page.locator("#field-field")).to_be_hidden()
