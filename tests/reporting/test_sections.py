import numpy as np
import pandas as pd
import pytest

from dorl.reporting import Matrices, Settings, Table
from dorl.reporting.sections import table_cell


def test_matrices_are_in_percent_of_each_true_class_and_say_what_is_right():
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 400, 1]])[[0, 1]]
    (table,) = Matrices({"a → b": (("x", "y"), counts), "nothing": ((), np.zeros((0, 1), int))}).tables
    assert table["title"] == "a → b"
    assert table["right"] == "75.0"
    assert table["columns"] == ["x", "y", "other"]
    name, cells, row = table["rows"][0]
    assert (name, cells, [cell["text"] for cell in row]) == ("x", 4, ["75", "25", ""])
    assert [cell["light"] for cell in row] == [False, False, False]
    assert [cell["text"] for cell in table["rows"][1][2]] == ["", "", ""]


def test_a_few_of_many_cells_are_not_shown_as_none():
    ((*_, row),) = Matrices({"": (("x",), np.array([[1000, 1]]))}).tables[0]["rows"]
    assert [cell["text"] for cell in row] == ["100", "<1"]


def test_no_shade_hides_its_number():
    def light(channel):
        return channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4

    for count in range(1, 100):
        ((_, _, row),) = Matrices({"": (("x",), np.array([[count, 100 - count]]))}).tables[0]["rows"]
        colour = [int(part) / 255 for part in row[0]["colour"].removeprefix("rgb(").removesuffix(")").split(",")]
        luminance = sum(share * light(part) for share, part in zip((0.2126, 0.7152, 0.0722), colour, strict=True))
        ink = 1.0 if row[0]["light"] else 0.0
        contrast = (max(luminance, ink) + 0.05) / (min(luminance, ink) + 0.05)
        assert contrast > 4.5, count  # of WCAG 2, level AA


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        (None, "–", False),
        (np.nan, "–", False),
        (True, "yes", False),
        (np.int64(3), "3", True),
        (0.123456, "0.1235", True),
        (["a", "b"], "a, b", False),
        ("1.0 ± 0.2", "1.0 ± 0.2", True),
        ("****", "****", False),
    ],
)
def test_values_are_shown_as_people_read_them(value, text, number):
    cell = table_cell(value)
    assert (cell.text, cell.number) == (text, number)


def test_settings_of_settings_are_joined_with_a_dot():
    assert Settings({"a": {"b": 1, "c": {"d": None}}}).rows == [("a.b", "1"), ("a.c.d", "–")]


def test_a_column_of_numbers_and_dashes_stands_to_the_right():
    table = Table(pd.DataFrame({"n": [1.5, np.nan], "text": ["a", "–"], "none": [None, None]}), index=False)
    assert table.numeric == [True, False, False]
