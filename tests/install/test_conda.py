"""The conda recipe asks for what pyproject.toml asks for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dorl

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
#: what conda-forge calls packages that PyPI has under other names
OTHER_NAMES = {"torch": "pytorch", "xgboost": "py-xgboost", "matplotlib": "matplotlib-base"}


def asked() -> dict[str, str]:
    """Package and least version of the section `run`."""
    section = re.search(r"^  run:\n(.*?)^\S", RECIPE, re.M | re.S)
    assert section is not None
    return {canonicalize_name(name): least for name, least in re.findall(r"- (\S+) >=(\S+)", section[1])}


def test_the_recipe_asks_for_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"python": project["requires-python"].removeprefix(">=")}
    for text in (*project["dependencies"], *project["optional-dependencies"]["serve"]):
        requirement = Requirement(text)
        (least,) = requirement.specifier
        wanted[canonicalize_name(OTHER_NAMES.get(requirement.name, requirement.name))] = least.version
    assert asked() == wanted


def test_the_recipe_is_of_this_version() -> None:
    assert f'version: "{dorl.__version__}"' in RECIPE


def test_the_recipe_holds_the_licence_texts() -> None:
    files = re.findall(r"^    - (\S*LICENSE\S*)$", RECIPE, re.M)
    assert files == ["LICENSE", "LICENSE-weights.md"]
    assert all((ROOT / file).is_file() for file in files)


def test_rattler_build_reads_it() -> None:
    reader = pytest.importorskip("rattler_build", reason="rattler-build is not installed: pip install '.[packaging]'")
    recipe = reader.Stage0Recipe.from_file(str(ROOT / "packaging" / "conda" / "recipe.yaml"))
    (variant,) = recipe.render(reader.VariantConfig())
    assert (variant.recipe.package.name, variant.recipe.package.version) == ("dorl", dorl.__version__)
