"""The report in a real browser, as a person uses it: mouse, keys, fingers, without scripts, and on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dorl.reporting import CellMap, Matrices, Picture, Table, latent_space, write_report
from dorl.reporting.cellmap import picture_sheet

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="document.title=1">'
#: nine cells on a grid, each of its own grey
PLACES = np.array([(x, y) for y in (2, 1, 0) for x in (0, 1, 2)], float)
GREYS = np.arange(20, 245, 25)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    labs, classes = ["a", HOSTILE, "a"] * 3, ["x", "y", ""] * 3
    latent_space(PLACES, labs, classes, folder / "latent.png")
    pictures = np.broadcast_to(GREYS[:, None, None, None], (9, 128, 128, 3)).astype(np.uint8)
    names = [f"{number}.png" for number in range(8)] + [HOSTILE]
    still = Picture(folder / "latent.png", caption="still", wide=True)
    cells = CellMap(PLACES, labs, classes, names, picture_sheet(pictures), still, heading="Latent space")
    wide = pd.DataFrame({f"lab {i}→lab {i + 1}": ["61.00 ± 2.00"] for i in range(16)}, index=["DoRL-Views"])
    matrix = {"a → b": ([f"class_{i}" for i in range(13)], np.eye(13, 14, dtype=int))}
    sections = [Table(wide, "Accuracy"), Matrices(matrix, "Matrices"), cells]
    write_report(folder / "report.html", title=HOSTILE, sections=sections)
    return folder / "report.html"


def opened(browser: Any, report: Path, **settings: Any) -> Any:
    """The page; `asked` lists every address that it asked for, `troubles` what its scripts and policy complained of."""
    page = browser.new_context(**settings).new_page()
    page.asked, page.troubles = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("console", lambda message: page.troubles.append(message.text))
    page.goto(report.as_uri())
    return page


def where(page: Any, cell: int) -> tuple[float, float]:
    """Where a cell of the grid lies on the page before anything was zoomed."""
    box = page.locator("canvas.map").bounding_box()
    step = 0.93 * min(box["width"], box["height"]) / 2
    x, y = PLACES[cell] - 1
    return box["x"] + box["width"] / 2 + x * step, box["y"] + box["height"] / 2 - y * step


def until(page: Any, true: Callable[[], bool]) -> None:
    """Wait for what the next frame shows; the page's policy forbids Playwright's own waiting for an expression."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it didn't come about within 5 s")


def zoom(page: Any) -> float:
    return float(page.locator(".cellmap").get_attribute("data-zoom"))


def status(page: Any) -> str:
    return str(page.locator(".status").inner_text())


def grey(page: Any) -> int:
    """Of the middle of the picture that is shown of the chosen cell."""
    script = "c => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0]"
    return int(page.locator(".card canvas").evaluate(script))


def test_a_point_shows_its_cell_zoom_works_and_no_host_is_asked(browser: Any, report: Path) -> None:
    page = opened(browser, report)
    cells, board = page.locator(".cellmap"), page.locator("canvas.map")
    board.scroll_into_view_if_needed()
    page.mouse.move(*where(page, 5))
    assert page.locator(".card dd").all_inner_texts() == ["a", "no label", "5.png"]
    assert abs(grey(page) - GREYS[5]) < 5
    page.mouse.click(*where(page, 8))
    assert page.locator(".card dd").last.inner_text() == HOSTILE
    page.mouse.move(*where(page, 0))  # the one that was clicked stays
    assert cells.get_attribute("data-cell") == "8"

    page.mouse.move(*where(page, 4))
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, -600)
    until(page, lambda: zoom(page) > 2.5)
    assert page.evaluate("scrollY") == before
    page.keyboard.press("0")
    until(page, lambda: zoom(page) == 1)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert cells.get_attribute("data-cell") == "4"  # the one in the middle
    page.keyboard.press("+")
    page.keyboard.press("+")
    until(page, lambda: zoom(page) > 2)
    assert status(page).startswith("1 of 9 cells")
    page.get_by_role("button", name="all", exact=True).click()

    page.get_by_label("class", exact=True).check()
    assert page.locator(".legend button").all_inner_texts() == ["x (3)", "y (3)", "no label (3)"]
    page.locator(".legend button").first.click()
    until(page, lambda: status(page).startswith("6 of 9"))
    page.mouse.move(*where(page, 3))  # of class x, which is hidden now
    assert cells.get_attribute("data-cell") in (None, "4")
    assert page.asked == [report.as_uri()]
    assert page.troubles == []
    assert page.title() == HOSTILE


def test_before_a_click_the_wheel_scrolls_the_page(browser: Any, report: Path) -> None:
    page = opened(browser, report, viewport={"width": 900, "height": 500})
    page.mouse.move(*where(page, 4))
    page.locator("canvas.map").hover()
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(200)
    assert page.locator(".cellmap").get_attribute("data-zoom") == "1.000"


def test_on_a_phone_nothing_is_wider_than_the_screen_and_a_tap_shows_a_cell(browser: Any, report: Path) -> None:
    page = opened(browser, report, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("canvas.map").scroll_into_view_if_needed()
    page.touchscreen.tap(*where(page, 7))
    assert page.locator(".card dd").last.inner_text() == "7.png"
    page.get_by_label("zoom in").tap()
    until(page, lambda: zoom(page) > 1.5)
    page.get_by_label("next cell").tap()
    assert page.troubles == []


def test_two_fingers_zoom_the_map_and_one_scrolls_the_page(browser: Any, report: Path) -> None:
    page = opened(browser, report, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.locator("canvas.map").scroll_into_view_if_needed()
    x, y = where(page, 4)
    fingers = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 80), ("touchEnd", None)):
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    until(page, lambda: 3.5 < zoom(page) < 4.5)
    assert page.evaluate("visualViewport.scale") == 1
    before = page.evaluate("scrollY")
    for step in range(15):
        point = {"x": x, "y": y + 10 * step, "id": 0}
        kind = "touchMove" if step else "touchStart"
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    until(page, lambda: page.evaluate("scrollY") < before - 50)
    assert 3.5 < zoom(page) < 4.5
    assert page.troubles == []


def test_without_scripts_and_on_paper_the_drawn_figure_is_seen(browser: Any, report: Path) -> None:
    page = opened(browser, report, java_script_enabled=False)
    assert page.get_by_alt_text("still").is_visible()
    assert not page.locator("canvas.map").is_visible()
    page = opened(browser, report)
    assert not page.get_by_alt_text("still").is_visible()
    page.emulate_media(media="print")
    assert page.get_by_alt_text("still").is_visible()
    assert not page.locator("canvas.map").is_visible()
