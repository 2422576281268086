r"""What an installation takes on disk: dorl, or dorl with some extras, and all that they need, package by package.

    python tools/measure/installed.py [EXTRA …] [--without REGEX] [--without-files REGEX]

The image of the Dockerfile, but for its base, where this environment has CUDA's libraries:

    python tools/measure/installed.py serve --without '^(nvidia|cuda|triton|xgboost)' \
        --without-files '[.]pyc$|^torch/include|^torch/lib/lib\w*(cuda|nvshmem|nvrtc)'

beside which xgboost-cpu has 18 MB.

The sizes are those of the files of this environment, in MB of 10^6 bytes; compiled Python files count where they are.
"""

from __future__ import annotations

import argparse
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(name: str, extras: set[str], seen: dict[str, Distribution]) -> None:
    """Add a package and all that it needs to `seen`."""
    key = canonicalize_name(name)
    try:
        found = distribution(key)
    except PackageNotFoundError:
        return
    new = key not in seen
    seen[key] = found
    for text in found.requires or []:
        asked = Requirement(text)
        wanted = not asked.marker or any(asked.marker.evaluate({"extra": extra}) for extra in extras or {""})
        if wanted and (new or extras) and canonicalize_name(asked.name) not in seen:
            needed(asked.name, asked.extras, seen)


def size(package: Distribution, without: str) -> float:
    """MB of a package's files."""
    places = [Path(str(package.locate_file(file))) for file in package.files or [] if not re.search(without, str(file))]
    return sum(place.stat().st_size for place in places if place.is_file()) / 1e6


def main() -> None:
    """Print a line a package, the largest last, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--without", default="$^", help="packages that don't count, such as 'nvidia|cuda|triton'")
    parser.add_argument("--without-files", default="$^", help="files that don't count, by their names in a package")
    given = parser.parse_args()
    seen: dict[str, Distribution] = {}
    needed("dorl", {"", *given.extras}, seen)
    sizes = {
        name: size(package, given.without_files) for name, package in seen.items() if not re.search(given.without, name)
    }
    for name, megabytes in sorted(sizes.items(), key=lambda item: item[1]):
        print(f"{megabytes:8.1f}  {name}")
    print(f"{sum(sizes.values()):8.1f}  MB in {len(sizes)} packages")


if __name__ == "__main__":
    main()
