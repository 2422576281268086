"""Tables as CSV, out and in."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dorl.errors import InputError
from dorl.names import FORMULA, without_surrogates
from dorl.sheets import number_in, read_any_sheet, read_sheet, sheet_line, write_sheet


@given(st.lists(st.text(), min_size=2, max_size=4))
@example(["a\rb", "=1", "x"])
@example(['"', "''=", "NA"])
def test_text_comes_back_letter_by_letter(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    values = [value.replace("\0", "") for value in values]
    path = tmp_path_factory.getbasetemp() / "letters.csv"
    names = [f"c{number}" for number in range(len(values))]
    write_sheet(path, pd.DataFrame([values], columns=names, dtype=object))
    assert read_sheet(path, text=names).iloc[0].tolist() == [without_surrogates(value) for value in values]


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_no_reader_sees_a_formula(text: str) -> None:
    row = next(csv.reader(io.StringIO(sheet_line([text, 1]), newline="")))
    assert len(row) == 2
    assert row[0][:1] not in tuple(FORMULA)


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "text": ["-1.png", "+a", "@a"],
            "whole": [-3, 4, 5],
            "half": [-0.5, np.nan, 1e-7],
            "said": [True, False, True],
            "nothing": [None, None, "x"],
        }
    )
    write_sheet(tmp_path / "a.csv", table)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[1:] == ["'-1.png,-3,-0.5,True,", "'+a,4,,False,", "'@a,5,1e-07,True,x"]
    write_sheet(tmp_path / "a.csv", table, number=".4f")
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "'-1.png,-3,-0.5000,True,"
    read = pd.read_csv(tmp_path / "a.csv")
    assert read["half"].iat[0] == -0.5
    assert read["whole"].tolist() == [-3, 4, 5]
    assert sheet_line([np.float32(0.5), np.int64(-2), np.bool_(True), float("nan"), pd.NA]) == "0.5,-2,True,,\n"


def test_a_damaged_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="can't be read as a table"):
        read_sheet(tmp_path / "a.csv")
    with pytest.raises(InputError, match="no such file"):
        read_sheet(tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputError, match="is empty"):
        read_sheet(tmp_path / "empty.csv")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("60", (60, False)), ("0.6", (0.6, False)), ("0,6", (0.6, False)), (" 60 %", (60, True))),
        *(("60,5%", (60.5, True)), ("-1", (-1, False))),
    ],
)
def test_numbers_are_understood_as_people_write_them(text: str, number: tuple[float, bool]) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize("text", ["", "%", "some", "1.234,5", "1,234,567", "6 0 %%"])
def test_what_is_no_number_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        number_in(text)


@pytest.mark.parametrize("divider", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_divider_and_encoding_is_read_as_text(tmp_path: Path, divider: str, encoding: str) -> None:
    path = tmp_path / "any.csv"
    path.write_text(f"Size{divider}class\n007{divider}NA\n", encoding=encoding)
    table = read_any_sheet(path, ["class"])
    assert table.to_dict("records") == [{"Size": "007", "class": "NA"}]


def test_more_values_than_columns_are_refused_where_none_may_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    path.write_text("class,share\nmonocyte,0,6\n")
    with pytest.raises(InputError, match="line 2 has more values than columns"):
        read_any_sheet(path, ["class"], exact=True)
    path.write_text("class,share,\nmonocyte,1,\n")
    assert read_any_sheet(path, ["class"], exact=True)["share"].tolist() == ["1"]
