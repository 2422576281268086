"""Colours and marks of labs and classes, the same in figures and in the report."""

from __future__ import annotations

from collections.abc import Sequence

#: Okabe & Ito's colours, told apart with any colour vision; yellow last, since it is faint on white
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#F0E442")
#: a second round of the colours gets another mark and line, so that no two entries of a legend look alike
MARKERS = ("o", "^", "s", "X")
LINES = ("-", "--", ":", "-.")
HATCHES = ("", "///", "...", "xxx")


def styles(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colour, marker, line and hatch of each name, in the order given."""
    return {
        name: {
            "color": OKABE_ITO[i % len(OKABE_ITO)],
            "marker": MARKERS[i // len(OKABE_ITO) % len(MARKERS)],
            "line": LINES[i // len(OKABE_ITO) % len(LINES)],
            "hatch": HATCHES[i // len(OKABE_ITO) % len(HATCHES)],
        }
        for i, name in enumerate(names)
    }
