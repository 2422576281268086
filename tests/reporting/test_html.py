import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from dorl.errors import InputError
from dorl.reporting import Notes, Picture, Table, Text, grey_levels, write_report

HOSTILE = '<script>alert("x")</script>'


class Page(HTMLParser):
    """The tags of a page with their attributes, and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path):
    grey_levels({"a": np.arange(256)}, tmp_path / "grey.png")
    frame = pd.DataFrame(
        {f"{HOSTILE}→b": ["**61.00 ± 2.00**", "60.00 ± 1.00"], "n": [3, np.nan]}, index=["DoRL-LR", HOSTILE]
    )
    write_report(
        tmp_path / "report.html",
        title=HOSTILE,
        settings={"labs": [HOSTILE], "train": {"epochs": 30}},
        sections=[
            Notes([HOSTILE]),
            Text(f"One.\n\nTwo {HOSTILE}.", heading=HOSTILE),
            Table(frame, "Accuracy", HOSTILE),
            Picture(tmp_path / "grey.png", "Grey levels", f'a "quoted" {HOSTILE}'),
        ],
    )
    (tmp_path / "grey.png").unlink()
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_report_needs_nothing_beside_it(page):
    references = Page(page).references
    assert sum(reference.startswith("data:image/png;base64,") for reference in references) == 1
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert not re.search(r"https?://|url\(|@import", page)


def test_names_from_outside_are_text_and_never_markup(page):
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert parsed.text.count('alert("x")') >= 6


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
