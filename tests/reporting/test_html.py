import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.errors import InputError
from dorl.reporting import (
    CellMap,
    Gallery,
    Matrices,
    Notes,
    Picture,
    Settings,
    Table,
    Text,
    grey_levels,
    write_report,
)
from dorl.reporting.cellmap import picture_sheet

HOSTILE = '</script><script>alert("x")</script>'


class Page(HTMLParser):
    """The tags of a page with their attributes, what it refers to, its text, and its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references, self.text, self.scripts, self.attributes = [], [], "", [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture
def pictures(tmp_path):
    """A figure, and a cell's picture; gone when the report is looked at."""
    grey_levels({"a": np.arange(256)}, tmp_path / "grey.png")
    Image.new("RGB", (260, 128), "red").save(tmp_path / "cell.jpg")
    return tmp_path / "grey.png", tmp_path / "cell.jpg"


def write(path, pictures, *more):
    frame = pd.DataFrame(
        {f"{HOSTILE}→b": ["**61.00 ± 2.00**", "60.00 ± 1.00"], "n": [3, np.nan]}, index=["DoRL-LR", HOSTILE]
    )
    grey, cell = pictures
    sections = [
        Notes([HOSTILE]),
        Text(f"One.\n\nTwo {HOSTILE}.", heading=HOSTILE),
        Table(frame, "Accuracy", HOSTILE),
        Table(frame, "Details", folded=True),
        Matrices({f"a → {HOSTILE}": ((HOSTILE, "x_y"), np.array([[1, 0, 0], [2, 2, 1]]))}, "Matrices"),
        Picture(grey, "Grey levels", f'a "quoted" {HOSTILE}'),
        Gallery([(Picture(cell), [f"neutrophil_{HOSTILE}", "b"])], "Wrong"),
        *more,
        Settings({"labs": [HOSTILE], "train": {"epochs": 30}}, "All settings", folded=True),
    ]
    write_report(path, title=HOSTILE, subtitle=HOSTILE, sections=sections)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path, pictures):
    text = write(tmp_path / "report.html", pictures)
    for picture in pictures:
        picture.unlink()
    return text


@pytest.fixture
def page_with_map(tmp_path, pictures):
    still = Picture(pictures[0], caption="still")
    cells = CellMap(
        np.random.default_rng(0).normal(size=(4, 2)),
        ["a", HOSTILE, "a", "a"],
        ["", HOSTILE, "x", "x"],
        [HOSTILE, "1", "2", "3"],
        picture_sheet(np.zeros((4, 128, 128, 3), np.uint8)),
        still,
        heading="Latent space",
    )
    return write(tmp_path / "map.html", pictures, cells)


def test_the_report_needs_nothing_beside_it(page):
    references = Page(page).references
    assert sum(reference.startswith("data:image/png;base64,") for reference in references) == 1
    assert sum(reference.startswith("data:image/jpeg;base64,") for reference in references) == 1
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert not re.search(r"https?://|url\(|@import", page)


def test_names_from_outside_are_text_and_never_markup(page):
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert parsed.text.count('alert("x")') >= 12
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]


def test_with_a_map_the_only_scripts_are_its_own_and_its_data(page_with_map):
    parsed = Page(page_with_map)
    assert parsed.tags.count("script") == 2
    data = json.loads(parsed.scripts[0])
    assert data["names"][0] == data["groupings"][0]["groups"][1]["name"] == HOSTILE
    assert "getContext" in parsed.scripts[1]
    (policy,) = [value for _, name, value in parsed.attributes if name == "content" and "default-src" in value]
    assert re.search(r"default-src 'none';.* script-src 'sha256-[\w+/]{43}='$", policy)


def test_without_scripts_and_in_print_the_drawn_figure_stands_in_place_of_the_map(page_with_map):
    parsed = Page(page_with_map)
    assert ("img", "alt", "still") in parsed.attributes
    assert ("div", "class", "cellmap") in parsed.attributes  # without "live", which its script adds
    printed = page_with_map[page_with_map.index("@media print") :]
    assert ".cellmap.live > figure { display: block; }" in printed


def test_without_a_map_no_script_is_allowed(page):
    assert "script-src" not in page


def test_what_is_folded_is_there_all_the_same(page):
    assert Page(page).tags.count("details") == 2
    assert page.index("<summary><h2>All settings</h2></summary>") < page.index("train.epochs")


def test_the_report_shows_settings_best_values_and_gaps(page):
    assert "train.epochs" in page
    assert "<strong>61.00 ± 2.00</strong>" in page
    assert "–" in page


def test_links_of_the_contents_lead_somewhere(page):
    for reference in Page(page).references:
        if reference.startswith("#"):
            assert f'id="{reference[1:]}"' in page


def test_a_missing_picture_is_told(tmp_path):
    with pytest.raises(InputError, match="no such picture"):
        write_report(tmp_path / "r.html", title="t", sections=[Picture(tmp_path / "none.png")])
    assert not list(tmp_path.iterdir())


def test_an_empty_report_and_an_empty_table_are_written(tmp_path):
    write_report(tmp_path / "r.html", title="t", sections=[Table(pd.DataFrame(columns=["a"]))])
    assert "<table" in (tmp_path / "r.html").read_text(encoding="utf-8")
