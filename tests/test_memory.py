from __future__ import annotations

import subprocess
import sys

import pytest

from dorl.memory import keep_memory

#: minor page faults of filling 64 MB ten times over
COUNT = """
import resource, sys
import numpy as np
from dorl.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has mallopt")
def test_freed_memory_is_not_fetched_from_the_system_again() -> None:
    faults = {}
    for how in ("keep", "plain"):
        done = subprocess.run([sys.executable, "-c", COUNT, how], stdout=subprocess.PIPE, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["keep"] < 0.6 * faults["plain"]


def test_it_may_be_asked_for_twice() -> None:
    keep_memory()
    keep_memory()
