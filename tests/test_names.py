"""Names of any letters and bytes: to text and back, in one line, cut, and found again."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dorl.names import (
    FORMULA,
    MAX_NAME_BYTES,
    composed,
    file_of,
    find_below,
    leads_out,
    no_formula,
    plain_path,
    printable,
    shortened,
    text_of,
    with_formula,
)

#: names as file systems have them: any bytes but "/" and NUL
NAMES = st.one_of(
    st.binary(min_size=1, max_size=120).map(lambda data: os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_"))),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.text("\\xue9d80c5 a'=", min_size=1, max_size=20),
).filter(lambda name: name not in (".", ".."))


@given(NAMES, NAMES)
@example("\\xe9", "\udce9")
@example("\\x5cxe9", "\\xe9")
def test_each_name_has_one_text_that_leads_back(name: str, other: str) -> None:
    text = text_of(name)
    text.encode()
    assert file_of(text) == name
    assert (text == text_of(other)) == (name == other)


@pytest.mark.posix
def test_ordinary_names_are_their_own_text() -> None:
    for name in ("a.png", "bär.png", "日本.png", "a\\b.png", "\\x41.png", "x:1.png"):
        assert text_of(name) == name
        assert file_of(name) == name
    assert text_of(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"


@given(st.text(min_size=1))
def test_what_is_printed_is_one_line_that_any_terminal_takes(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(sign) == "Cc" for sign in shown)
    assert not set(shown) & set("\u202e\u2066\u200f")
    assert printable(shown) == shown


@given(NAMES, NAMES, st.sampled_from([".png", "_2.png", ".tiff"]))
def test_long_names_are_cut_and_stay_apart(stem: str, other: str, ending: str) -> None:
    long, longer = stem * 40, other * 40
    file = shortened(long, ending)
    assert len(file.encode()) <= MAX_NAME_BYTES
    assert file.endswith(ending)
    assert (file == shortened(longer, ending)) == (text_of(long) == text_of(longer) or long == longer)
    assert shortened("a", ending) == f"a{ending}"


@given(st.text())
@example("'=1")
@example("''=1")
@example("'a")
def test_no_formula_and_back(text: str) -> None:
    safe = no_formula(text)
    assert safe[:1] not in tuple(FORMULA)
    assert with_formula(safe) == text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a\\b.png", "x:1.png", "C:x.png", " lead.png", "=1+1.png", "'=2.png", "ba\u0308r.png", "gr\xf6n.png"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b\xe4r.png").touch()
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a\\b.png", "a\\b.png"),
        ("deep\\b\xe4r.png", "deep/b\xe4r.png"),
        ("deep/ba\u0308r.png", "deep/b\xe4r.png"),
        ("b\xe4r.png", "ba\u0308r.png"),
        ("x:1.png", "x:1.png"),
        ("C:x.png", "C:x.png"),
        (" lead.png", " lead.png"),
        ("lead.png", None),
        ("=1+1.png", "=1+1.png"),
        ("'=1+1.png", "=1+1.png"),
        ("./=1+1.png", "=1+1.png"),
        ("'=2.png", "'=2.png"),
        ("caf\\xe9.png", "caf\udce9.png"),
        ("caf\udce9.png", "caf\udce9.png"),
        ("gr\udcf6n.png", "gr\xf6n.png"),
        ("../x.png", None),
        ("C:/x.png", None),
        ("a\0.png", None),
        ("x" * 5000, None),
        ("", None),
    ],
)
def test_a_file_is_found_as_it_was_written(folder: Path, written: str, meant: str | None) -> None:
    assert find_below(folder, written) == meant


def test_two_files_that_differ_by_how_marks_stand_are_two(tmp_path: Path) -> None:
    both = ["b\xe4r.png", "ba\u0308r.png"]
    for name in both:
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes them for one")
    assert [find_below(tmp_path, name) for name in both] == both
    assert composed(both[1]) == both[0]


@given(NAMES)
def test_what_a_manifest_holds_leads_to_the_file(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("names")
    try:
        (root / name).touch()
    except OSError:
        return  # no name of this file system
    written = plain_path(text_of(name))
    assert find_below(root, written) == name
    assert written[:1] not in tuple(FORMULA)
    (root / name).unlink()
    root.rmdir()


def test_places_outside_are_none_within() -> None:
    for path in ("/a", "../a", "a/../b", "C:/a", "a\0"):
        assert leads_out(path)
    for path in ("a:b/c", "C:a", "..a", "a/b"):
        assert not leads_out(path)
