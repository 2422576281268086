"""Walking through many cells in a browser: none is passed over, and nothing is lost to a page that is drawn anew."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dorl.serving.app import make_app
from dorl.serving.cells import Cells

from .asking import zipped
from .browsing import listening, watched
from .standin import StandIn, grey

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

PAGE = 60  # cells, as page.js has it


@pytest.fixture
def standin() -> StandIn:
    return StandIn()


@pytest.fixture
def page(browser: api.Browser, standin: StandIn, tmp_path: Path) -> Iterator[api.Page]:
    with listening(make_app(standin, tmp_path / "page")) as address, watched(browser, address) as opened:
        yield opened


def upload(page: api.Page, levels: list[int]) -> None:
    """Send cells of these grey levels, called 000.png and so on."""
    data = zipped({f"{number:03d}.png": grey(level, "PNG") for number, level in enumerate(levels)})
    page.set_input_files("#files", {"name": "slide.zip", "mimeType": "application/zip", "buffer": data})


def done(page: api.Page, cells: int) -> None:
    """Wait until all cells were looked at."""
    api.expect(page.locator("#sample-facts")).to_contain_text(f"{cells} cell", timeout=30_000)
    api.expect(page.locator("#working")).to_be_hidden(timeout=30_000)


def here(page: api.Page, name: str) -> None:
    """Wait until a cell is chosen and has the focus."""
    current = page.locator("#cells [aria-current=true]")
    api.expect(current).to_have_attribute("title", name)
    api.expect(current).to_be_focused()


def ask(page: api.Page, what: str, value: str) -> None:
    """Choose an order or a filter, and wait until its cells are shown."""
    page.select_option(f"#{what}", value)
    api.expect(page).to_have_url(re.compile(f"{what}={value}"))


def names(page: api.Page) -> list[str]:
    return [str(one.get_attribute("title")) for one in page.locator("#cells button").all()]


def test_cells_not_checked_yet_are_met_one_by_one(page: api.Page, monkeypatch: pytest.MonkeyPatch) -> None:
    correct = Cells.correct

    def slow(self: Cells, cell: int, label: str | None) -> bool:
        time.sleep(0.05)
        return correct(self, cell, label)

    monkeypatch.setattr(Cells, "correct", slow)
    count = PAGE + PAGE + 5
    upload(page, [20] * count)
    done(page, count)
    ask(page, "show", "unchecked")
    page.locator("#cells button").first.click()
    for number in range(count - 1):
        here(page, f"{number:03d}.png")
        page.keyboard.press("1")
    here(page, f"{count - 1:03d}.png")
    page.keyboard.press("1")
    api.expect(page.locator("#sample-facts")).to_contain_text(f"{count} checked")


def test_the_next_button_passes_no_cell_over(page: api.Page) -> None:
    upload(page, [20] * (PAGE + 10))
    done(page, PAGE + 10)
    ask(page, "show", "unchecked")
    page.locator("#cells button").nth(3).click()
    for number in range(3, 6):
        here(page, f"{number:03d}.png")
        page.keyboard.press("1")
    page.click("#next")
    api.expect(page.locator("#cells button").first).to_have_attribute("title", "060.png")
    api.expect(page.locator("#cells button")).to_have_count(10)


def test_sorted_by_class_a_cell_that_moves_on_passes_no_other_over(page: api.Page) -> None:
    count = PAGE + 10
    upload(page, [20] * count)
    done(page, count)
    ask(page, "order", "class")
    page.locator("#cells button").first.click()
    for number in range(5):
        here(page, f"{number:03d}.png")
        page.keyboard.press("3")  # the last class
    api.expect(page.locator("#sample-facts")).to_contain_text("5 checked")
    page.keyboard.press("End")
    here(page, "059.png")
    page.keyboard.press("ArrowRight")
    here(page, "060.png")
    assert names(page) == [f"{number:03d}.png" for number in [*range(60, count), *range(5)]]


def test_the_keyboard_stays_in_the_grid_at_the_borders_of_a_page(page: api.Page) -> None:
    upload(page, [20] * (PAGE + 10))
    done(page, PAGE + 10)
    page.locator("#cells button").first.click()
    page.keyboard.press("End")
    here(page, "059.png")
    page.keyboard.press("ArrowRight")
    here(page, "060.png")
    page.keyboard.press("ArrowLeft")
    here(page, "059.png")
    # on a narrow page too
    page.set_viewport_size({"width": 600, "height": 900})
    page.keyboard.press("ArrowDown")
    here(page, "060.png")
    page.keyboard.press("ArrowRight")
    here(page, "061.png")


def test_the_skip_link_leads_to_the_cells_and_changes_nothing(page: api.Page) -> None:
    upload(page, [20, 20, 200])
    done(page, 3)
    ask(page, "order", "name")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    api.expect(page.locator("#cells")).to_be_focused()
    api.expect(page).to_have_url(re.compile("sample=1.*order=name|order=name.*sample=1"))
    page.keyboard.press("End")
    here(page, "002.png")
    page.select_option("#show", "corrected")  # the page still answers
    api.expect(page.locator("#none")).to_contain_text("No cell with this filter")


def test_what_is_used_stays_as_it_is_while_others_are_looked_at(page: api.Page, standin: StandIn) -> None:
    standin.pause = 1.0
    upload(page, [20, 200] * 30)
    page.locator("#cells button").first.click(timeout=30_000)
    page.select_option("#other", "smudge_cell")
    page.locator(".history summary").click()
    chip = page.locator("#classes button", has_text="monocyte")
    chip.focus()
    mark = "(one) => { one.dataset.mark = 'here'; }"
    kept = [page.locator(one) for one in ("#other", ".history", "#show option:checked", "#classes .chip:focus")]
    for one in kept:
        one.evaluate(mark)
    before = page.locator("#working-text").inner_text()
    api.expect(page.locator("#working-text")).not_to_have_text(before, timeout=10_000)
    page.wait_for_timeout(700)  # one look more, at least
    api.expect(page.locator("#working")).to_be_visible()
    for one in kept:
        assert one.get_attribute("data-mark") == "here"
    api.expect(page.locator(".history")).to_have_attribute("open", "")
    api.expect(chip).to_be_focused()
    done(page, 60)


def test_fields_stay_as_they_are_while_others_are_searched(page: api.Page, standin: StandIn) -> None:
    standin.pause = 3.0
    page.check("input[name=kind][value=fields]")
    upload(page, [100] * 3)
    box = page.locator("#boxes button").first
    box.evaluate("(one) => { one.dataset.mark = 'here'; }", timeout=30_000)
    option = page.locator("#field option").first
    option.evaluate("(one) => { one.dataset.mark = 'here'; }")
    row = page.locator("#differential tbody tr").first
    row.evaluate("(one) => { one.dataset.mark = 'here'; }")
    page.wait_for_timeout(1300)  # two looks, and no field more
    assert page.locator("#field option").count() == 2
    for one in (box, option, row):
        assert one.get_attribute("data-mark") == "here"
    api.expect(page.locator("#working")).to_be_hidden(timeout=30_000)


def test_a_picture_without_a_cell_has_no_class_until_a_person_gives_one(page: api.Page) -> None:
    upload(page, [20, 255, 200])
    done(page, 3)
    api.expect(page.locator("#sample-facts")).to_contain_text("1 without a cell")
    empty = page.locator("#cells button").nth(1)
    api.expect(empty.locator(".cell-class")).to_have_text("no class")
    api.expect(empty.locator(".badges")).to_have_text("no cell found")
    empty.click()
    detail = page.locator("#detail")
    api.expect(detail).to_contain_text("no white cell was found, so the classifier gives no class")
    api.expect(detail).to_contain_text("no outline")
    page.keyboard.press("1")
    api.expect(empty).to_contain_text("corrected")
    api.expect(empty.locator(".cell-class")).to_have_text("basophil")
    ask(page, "order", "class")
    ask(page, "show", "without-cell")
    assert names(page) == ["001.png"]
    empty = page.locator("#cells button").first
    empty.click()
    api.expect(detail).to_contain_text("checked; no white cell was found")
    api.expect(detail.locator(".history")).to_contain_text("found no cell")
    page.keyboard.press("u")
    api.expect(empty.locator(".cell-class")).to_have_text("no class")
