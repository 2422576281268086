"""Names of URLs, of files in the cache, and what never stands in either."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorl.domains.urls import cache_folder, file_at, is_url, mirror_of, shown, stays_below, without_secrets
from dorl.errors import InputError
from dorl.names import file_of, text_of

#: names with all that a path could be left by
NAMES = st.text(st.sampled_from("ab.é%?#: \\/~\0") | st.characters(codec="utf-8"), max_size=12)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DORL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield cache_folder()


@given(NAMES)
def test_a_name_is_either_refused_or_stays_below_its_folder(name: str) -> None:
    folder = cache_folder() / "memory" / "lab"
    if stays_below(name):
        place = folder / name
        assert place.relative_to(folder).as_posix() == name
        assert ".." not in place.parts
        assert file_at(shown(place)) == place
    else:
        assert {"", ".", ".."}.intersection(name.split("/")) or set(name) & set("\\\0:")


@given(st.sampled_from(["memory", "s3", "gs", "https"]), NAMES)
def test_a_url_is_refused_or_has_a_place_in_the_cache_that_names_it(scheme: str, rest: str) -> None:
    try:
        place = mirror_of(f"{scheme}://{rest}")
    except InputError:
        return
    assert place.is_relative_to(cache_folder() / scheme)
    assert len(place.parts) > len(cache_folder().parts) + 1
    assert ".." not in place.parts
    assert file_at(shown(place)) == place


@given(NAMES)
def test_a_path_keeps_its_text_and_no_text_leads_out_of_the_cache(name: str) -> None:
    path = Path("lab") / name.replace("\0", "")
    assert not is_url(path.as_posix())
    assert shown(path) == text_of(str(path))
    assert file_at(text_of(str(path))) == path
    place = file_at(f"memory://{name}")
    assert place == Path(file_of(f"memory://{name}")) or (
        place.is_relative_to(cache_folder() / "memory") and ".." not in place.parts
    )


@given(st.text(string.ascii_letters + string.digits, min_size=8))
def test_no_secret_stands_in_a_name(secret: str) -> None:
    mark = f"Xx{secret}xX"
    for url in (
        f"https://me:{mark}@host/lab/a.png",
        f"https://host:8000/lab/a.png?X-Amz-Signature={mark}",
        f"https://host/lab/a.png#{mark}",
        f"s3://{mark}:{mark}@bucket/lab",
    ):
        assert mark not in without_secrets(url)
        assert mark not in str(mirror_of(url))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://", "names no place"),
        ("memory:///", "names no place"),
        ("s3://../lab", "names no place"),
        ("https://host/%2e%2e/%2e%2e/etc", "names no place"),
        ("https://host/a%5cb.png", "backslashes"),
        ("s3://bucket//lab", "empty parts"),
        ("s3://bucket/lab?X-Amz-Signature=secret", "^s3://bucket/lab: leave out the question mark"),
        ("zip://lab::https://host/lab.zip", "in a chain"),
        ("file:///lab", "give it as a path"),
    ],
)
def test_what_names_no_place_is_refused(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as error:
        mirror_of(url)
    assert "secret" not in str(error.value)


def test_urls_are_told_from_paths_and_drives() -> None:
    assert all(map(is_url, ("s3://b", "S3://b/c", "https://h/a.png", "memory://x", "gs://b")))
    assert not any(
        map(is_url, ("C:/lab", "C://lab", "a:b/c", "name=C:/lab", "s3:/b", "lab", "//host/share", "hub:a/b"))
    )


def test_a_server_with_a_port_and_odd_letters_has_one_place() -> None:
    place = mirror_of("HTTP://me@Host:8000/lab/a%20b.png?x=y")
    assert place == cache_folder() / "http" / "Host%3A8000" / "lab" / "a b.png"
    assert shown(place) == "http://Host:8000/lab/a b.png"
    assert shown(place.parent.parent) == "http://Host:8000"
