from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from dorl.runtime.memory import give_back_memory, keep_memory, resident_memory, without_collection

#: minor page faults of filling 64 MB ten times over
COUNT = """
import resource, sys
import numpy as np
from dorl.runtime.memory import keep_memory
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


#: MB held with 160 MB of small blocks, after they were freed, and after they were given back
HELD = """
import numpy as np
from dorl.runtime.memory import give_back_memory, keep_memory, resident_memory, without_collection
keep_memory()
blocks = [np.ones(20_000) for _ in range(1000)]
print(resident_memory())
del blocks
print(resident_memory())
give_back_memory()
print(resident_memory())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells, and only glibc gives back")
def test_kept_memory_can_be_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True, check=True)
    full, kept, given_back = map(float, done.stdout.split())
    assert full - kept < 50
    assert full - given_back > 100
    assert resident_memory() is not None
    give_back_memory()


def test_garbage_is_looked_for_again_afterwards() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()  # as the caller had it
    finally:
        gc.enable()


def test_what_an_own_process_imports_is_left_out_of_collection() -> None:
    code = (
        "import gc; from dorl.runtime.memory import own_process, without_collection as w; {}\n"
        "with w():\n    kept = [[] for _ in range(9)]\nprint(gc.get_freeze_count())"
    )
    counts = []
    for first in ("pass", "own_process()"):
        words = [sys.executable, "-c", code.format(first)]
        counts.append(int(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    assert counts[0] == 0
    assert counts[1] > 9
