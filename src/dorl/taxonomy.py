"""The tree of cell classes, the label codes of the known data sets, and the level at which two labs compare."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from dorl.errors import InputError

#: the 13 classes of the method (arXiv 2408.07467), in its order
CLASSES: tuple[str, ...] = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "myeloblast",
    "promyelocyte",
    "myelocyte",
    "metamyelocyte",
    "neutrophil_banded",
    "neutrophil_segmented",
    "monocyte",
    "lymphocyte_typical",
    "lymphocyte_atypical",
    "smudge_cell",
)

_PARENTS: dict[str, str | None] = {
    "cell": None,
    "leukocyte": "cell",
    "granulocyte": "leukocyte",
    "neutrophil": "granulocyte",
    "neutrophil_banded": "neutrophil",
    "neutrophil_segmented": "neutrophil",
    "eosinophil": "granulocyte",
    "basophil": "granulocyte",
    "immature_granulocyte": "granulocyte",
    "promyelocyte": "immature_granulocyte",
    # beside, not below: of acute promyelocytic leukaemia, and counted with blasts
    "promyelocyte_atypical": "immature_granulocyte",
    "myelocyte": "immature_granulocyte",
    "metamyelocyte": "immature_granulocyte",
    "lymphocyte": "leukocyte",
    "lymphocyte_typical": "lymphocyte",
    "lymphocyte_atypical": "lymphocyte",
    "lymphocyte_reactive": "lymphocyte_atypical",
    "lymphocyte_large_granular": "lymphocyte_atypical",
    "lymphocyte_neoplastic": "lymphocyte_atypical",
    "hairy_cell": "lymphocyte_atypical",
    "prolymphocyte": "lymphocyte_atypical",
    "plasma_cell": "leukocyte",
    "monocyte": "leukocyte",
    "myeloblast": "leukocyte",
    "erythroblast": "cell",
    "smudge_cell": "cell",
}

#: every node of the tree, the root ``"cell"`` first and each parent before its children
NODES: tuple[str, ...] = tuple(_PARENTS)

#: leaves and nodes that healthy blood hardly holds
UNCOMMON: frozenset[str] = frozenset(
    {
        *("immature_granulocyte", "promyelocyte", "promyelocyte_atypical", "myelocyte", "metamyelocyte", "myeloblast"),
        *("erythroblast", "lymphocyte_atypical", "lymphocyte_reactive", "lymphocyte_large_granular"),
        *("lymphocyte_neoplastic", "hairy_cell", "prolymphocyte", "plasma_cell", "smudge_cell"),
    }
)

#: folders of AML-Cytomorphology_LMU (Matek-19)
MATEK_CODES: dict[str, str] = {
    "BAS": "basophil",
    "EBO": "erythroblast",
    "EOS": "eosinophil",
    "KSC": "smudge_cell",
    "LYA": "lymphocyte_atypical",
    "LYT": "lymphocyte_typical",
    "MMZ": "metamyelocyte",
    "MOB": "monocyte",  # monoblast
    "MON": "monocyte",
    "MYB": "myelocyte",
    "MYO": "myeloblast",
    "NGB": "neutrophil_banded",
    "NGS": "neutrophil_segmented",
    "PMO": "promyelocyte",
}

#: file-name prefixes of PBC_dataset_normal_DIB (Acevedo-20)
ACEVEDO_CODES: dict[str, str] = {
    "BA": "basophil",
    "EO": "eosinophil",
    "ERB": "erythroblast",
    "PMY": "promyelocyte",
    "MY": "myelocyte",
    "MMY": "metamyelocyte",
    "BNE": "neutrophil_banded",
    "SNE": "neutrophil_segmented",
    "MO": "monocyte",
    "LY": "lymphocyte_typical",
}

#: label numbers of BloodMNIST, which joins Acevedo-20's finer classes
BLOODMNIST_CODES: dict[int, str] = {
    0: "basophil",
    1: "eosinophil",
    2: "erythroblast",
    3: "immature_granulocyte",
    4: "lymphocyte",
    5: "monocyte",
    6: "neutrophil",
}

#: folders of MLL23 (Shetab Boushehri et al., Sci. Data 2025, doi 10.1038/s41597-025-06223-x)
MLL23_CODES: dict[str, str] = {
    "basophil": "basophil",
    "eosinophil": "eosinophil",
    "hairy_cell": "hairy_cell",
    "lymphocyte": "lymphocyte_typical",  # the atypical ones have folders of their own
    "lymphocyte_large_granular": "lymphocyte_large_granular",
    "lymphocyte_neoplastic": "lymphocyte_neoplastic",
    "lymphocyte_reactive": "lymphocyte_reactive",
    "metamyelocyte": "metamyelocyte",
    "monocyte": "monocyte",
    "myeloblast": "myeloblast",
    "myelocyte": "myelocyte",
    "neutrophil_band": "neutrophil_banded",
    "neutrophil_segmented": "neutrophil_segmented",
    "normoblast": "erythroblast",
    "plasma_cell": "plasma_cell",
    "promyelocyte": "promyelocyte",
    "promyelocyte_atypical": "promyelocyte_atypical",
    "smudge_cell": "smudge_cell",
}

#: labels of WBCBench 2026 (arXiv 2604.10797)
WBCBENCH_CODES: dict[str, str] = {
    "BA": "basophil",
    "BL": "myeloblast",  # blast
    "BNE": "neutrophil_banded",
    "EO": "eosinophil",
    "LY": "lymphocyte_typical",
    "MMY": "metamyelocyte",
    "MO": "monocyte",
    "MY": "myelocyte",
    "PC": "plasma_cell",
    "PLY": "prolymphocyte",
    "PMY": "promyelocyte",
    "SNE": "neutrophil_segmented",
    "VLY": "lymphocyte_reactive",  # variant lymphocyte
}

#: codes that are known but not used, by data set, and why
MATEK_LEFT_OUT: dict[str, str] = {"PMB": "promyelocyte with two lobes, no class of its own in the other labs"}
ACEVEDO_LEFT_OUT: dict[str, str] = {
    "IG": "immature granulocyte of unknown stage",
    "NEUTROPHIL": "neutrophil, neither banded nor segmented by its label",
    "PLATELET": "not a white blood cell",
}
BLOODMNIST_LEFT_OUT: dict[int, str] = {7: "platelet, not a white blood cell"}

# What folders and spreadsheets call the classes; case, plural, separators and word order don't count.
_ALIASES: dict[str, tuple[str, ...]] = {
    "leukocyte": ("leucocyte",),
    "granulocyte": (),
    "neutrophil": (
        *("neut", "neutro", "neu", "neutrophile", "neutrophilic granulocyte", "neutrophil granulocyte"),
        *("pmn", "poly", "polymorphonuclear", "polymorphonuclear neutrophil", "polymorphonuclear leukocyte"),
    ),
    "neutrophil_banded": (
        *("band", "banded", "band neutrophil", "band form", "stab", "stab neutrophil", "stab form"),
        *("neutrophil stab", "neutrophilic band", "band granulocyte", "banded granulocyte"),
    ),
    "neutrophil_segmented": (
        *(
            "seg",
            "segmented",
            "seg neutrophil",
            "segmented granulocyte",
            "segmented neutrophilic granulocyte",
        ),
        *("mature neutrophil", "neutrophilic segmented", "polysegmented neutrophil"),
    ),
    "eosinophil": (
        "eos",
        "eosino",
        "eosinophile",
        "eosinophilic granulocyte",
        "eosinophil granulocyte",
    ),
    "basophil": ("bas", "baso", "basophile", "basophilic granulocyte", "basophil granulocyte"),
    "immature_granulocyte": ("ig", "igs", "immature gran", "granulocyte precursor"),
    "promyelocyte_atypical": ("abnormal promyelocyte", "faggot"),
    "promyelocyte": ("promyelo", "progranulocyte", "neutrophilic promyelocyte"),
    "myelocyte": ("neutrophilic myelocyte", "neutrophil myelocyte"),
    "metamyelocyte": ("metamyelo", "neutrophilic metamyelocyte", "neutrophil metamyelocyte"),
    "lymphocyte": ("lym", "lymph", "lympho"),
    "lymphocyte_typical": ("typical lymph", "normal lymphocyte", "normal lymph", "mature lymphocyte"),
    "lymphocyte_atypical": ("atypical lymph", "abnormal lymphocyte"),
    "lymphocyte_reactive": (
        *("reactive lymph", "variant lymphocyte", "variant lymph", "activated lymphocyte", "virocyte", "downey"),
    ),
    "lymphocyte_large_granular": ("lgl", "large granular lymph"),
    "lymphocyte_neoplastic": ("neoplastic lymph", "malignant lymphocyte", "lymphoma"),
    "hairy_cell": ("hairy lymphocyte",),
    "prolymphocyte": ("prolymph",),
    "plasma_cell": ("plasmacyte", "plasmocyte"),
    "monocyte": ("mono", "monoblast"),
    "myeloblast": ("blast", "myeloid blast", "aml blast"),
    "erythroblast": (
        *(
            "normoblast",
            "nrbc",
            "nucleated red blood",
            "nucleated red",
            "nucleated rbc",
            "nucleated erythrocyte",
        ),
        *("orthochromatic erythroblast", "orthochromatic normoblast", "polychromatic erythroblast"),
        *("polychromatic normoblast", "basophilic erythroblast", "basophilic normoblast"),
        *("proerythroblast", "pronormoblast", "erythrocyte precursor"),
    ),
    # not the bare words: folders "smears" and "shadows" hold anything
    "smudge_cell": ("smudge", "smear cell", "basket cell", "shadow cell", "gumprecht", "gumprecht shadow"),
}


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(c for c in folded if not unicodedata.combining(c))
    # short words keep their s: "eos", "bas" and "igs" are abbreviations
    words = re.findall(r"[a-z]+", letters)
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]


_LABELS: dict[str, str] = {
    "".join(order): node
    for node, aliases in _ALIASES.items()
    for name in (node, *aliases)
    for order in permutations(_words(name))
}


def parse_label(text: str) -> str | None:
    """Find the class that a folder or a spreadsheet means.

    Case, plural, accents, digits, spaces, hyphens, underscores, word order and an added "cell" don't count:
    ``"Segmented Neutrophils"``, ``"neutrophil-segmented"`` and ``"segs"`` are the same class. The codes of
    the known data sets are no names; they are read by the tables of this module.

    Parameters
    ----------
    text : str

    Returns
    -------
    str or None
        A node of the tree below the root, or None where the name isn't known. ``"cell"`` says nothing
        about a cell and gives None.
    """
    words = _words(text)
    with_cell = "".join(words)
    without = "".join(word for word in words if word != "cell").removesuffix("cell")
    return _LABELS.get(with_cell) or _LABELS.get(without)


def parent(name: str) -> str | None:
    """The node above `name`; None for the root. Raises InputError for a name that is no node."""
    try:
        return _PARENTS[name]
    except (KeyError, TypeError):
        raise InputError(f"{name!r} is no class; the classes are: {', '.join(NODES)}") from None


def ancestors(name: str) -> tuple[str, ...]:
    """All nodes above `name`, the nearest first, the root last; without `name` itself."""
    found = []
    above = parent(name)
    while above is not None:
        found.append(above)
        above = parent(above)
    return tuple(found)


def is_a(fine: str, coarse: str) -> bool:
    """Whether every `fine` cell is also a `coarse` one: the same node or one of its ancestors."""
    parent(coarse)  # a misspelt class must not read as "no"
    return fine == coarse or coarse in ancestors(fine)


def flat(label: str) -> str:
    """The paper's mapping of coarse labels to the 13 classes.

    ``neutrophil`` counts as ``neutrophil_segmented``, ``lymphocyte`` as ``lymphocyte_typical``, what is finer than one
    of the 13 as that one, and ``promyelocyte_atypical`` as ``promyelocyte``; every other label stays as it is, inner
    nodes such as ``immature_granulocyte`` included.
    """
    above = next((name for name in ancestors(label) if name in CLASSES), label)
    coarse = {"neutrophil": "neutrophil_segmented", "lymphocyte": "lymphocyte_typical"}
    return {**coarse, "promyelocyte_atypical": "promyelocyte"}.get(label, above)


def _is_missing(label: Any) -> bool:
    return label is None or (isinstance(label, float) and label != label)


@dataclass(frozen=True)
class SharedLevel:
    """Classes, none above another, at which the labels of two labs can be compared; see `shared_level`.

    Parameters
    ----------
    classes : tuple of str
        Sorted.
    """

    classes: tuple[str, ...]

    def project(self, label: str | None) -> str | None:
        """The class of this level that `label` belongs to.

        Parameters
        ----------
        label : str or None
            A node of the tree; None (unlabelled) gives None.

        Returns
        -------
        str or None
            `label` itself or its ancestor in `classes`; None where it has no counterpart. A label that is
            coarser than the level has none: what it would be can't be told.
        """
        if label is None:
            return None
        return next((node for node in (label, *ancestors(label)) if node in self.classes), None)

    def project_all(self, labels: Iterable[str | None]) -> np.ndarray:
        """`project` for many labels.

        Parameters
        ----------
        labels : iterable of str or None, length N
            NaN counts as None.

        Returns
        -------
        ndarray of object, shape (N,)
        """
        known: dict[Any, str | None] = {}
        out = []
        for label in labels:
            key = None if _is_missing(label) else label
            if key not in known:
                known[key] = self.project(key)
            out.append(known[key])
        projected = np.empty(len(out), dtype=object)
        projected[:] = out
        return projected


def shared_level(a: Iterable[str | None], b: Iterable[str | None]) -> SharedLevel:
    """The deepest level at which the labels of two labs can be compared.

    Labs name classes at different depth. Where one lab says ``neutrophil`` and the other ``neutrophil_banded``
    and ``neutrophil_segmented``, a banded prediction for a ``neutrophil`` is right, since the finer class is
    one of the coarser. So for each pair (x of `a`, y of `b`) of which one is the other or its ancestor, the
    coarser one belongs to the level; of two such that lie above one another the coarser is kept, so that no
    label has two counterparts. Labels and predictions are then both projected and compared as they are.

    Parameters
    ----------
    a, b : iterable of str or None
        Labels of two labs, repeated or not; None is passed over.

    Returns
    -------
    SharedLevel
        The same for (a, b) and (b, a); without classes where the labs share none.

    Raises
    ------
    InputError
        For a label that is no node of the tree.
    """
    left, right = ({str(label) for label in labels if not _is_missing(label)} for labels in (a, b))
    common = {y if is_a(x, y) else x for x in left for y in right if is_a(x, y) or is_a(y, x)}
    top = {node for node in common if not common.intersection(ancestors(node))}
    return SharedLevel(tuple(sorted(top)))
