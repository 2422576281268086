from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from dorl.benchmark.methods import ROWS, Method, Options


def test_importing_the_rows_loads_nothing_heavy() -> None:
    heavy = {"torch", "torchvision", "skada", "sklearn"}
    check = f"import dorl.benchmark.methods, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("name", list(ROWS))
@pytest.mark.parametrize("profile", ["quick", "full"])
def test_every_row_builds_a_method_of_code_that_exists(
    name: str, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS[name]
    if missing := [module for module in row.needs if importlib.util.find_spec(module) is None]:
        pytest.skip(f"{', '.join(missing)} of the extra 'benchmark' is not installed")
    monkeypatch.setattr("dorl.benchmark.methods.networks._torchvision", lambda: None)  # no download
    method = row.build(Options(profile=profile))
    assert isinstance(method, Method)
    assert all(importlib.util.find_spec(module) for module in row.code)
