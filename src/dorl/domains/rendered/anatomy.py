"""What each of the thirteen classes looks like, in sizes relative to a red cell or to the cell itself."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Stains:
    """Amounts of each stain, 1 being what an ordinary nucleus takes up of azure."""

    eosin: float = 0.0
    azure: float = 0.0
    blue: float = 0.0
    haemoglobin: float = 0.0


@dataclass(frozen=True)
class Granules:
    """Granules in the cytoplasm.

    Parameters
    ----------
    crowding : (float, float)
        Area of all granules over area of the cell; above 1 they lie packed.
    radius : float
        In red-cell diameters.
    stains : Stains
        Taken up by a granule, added to the cytoplasm's own.
    over_nucleus : float
        Share (0–1) of a granule's colour that shows where it lies over the nucleus.
    """

    crowding: Range
    radius: float
    stains: Stains
    over_nucleus: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """One class of cell. Each range is drawn from anew for every cell.

    Parameters
    ----------
    diameter : (float, float)
        In red-cell diameters.
    nucleus : str
        "round", "indented", "band", "lobed" or "smear".
    nucleus_area : (float, float)
        Area of the nucleus over that of the cell.
    cytoplasm : Stains
    irregularity : float
        Departure of the outline from a circle, relative to the radius.
    moulding : (int, int)
        Red cells that press into the outline (fewest, most).
    eccentricity : (float, float)
        How far the nucleus lies from the middle, as a share of the free way to the membrane.
    lobes : (int, int)
        Fewest and most lobes of a "lobed" nucleus.
    indentation : (float, float)
        Depth of the notch of an "indented" nucleus, relative to its radius.
    chromatin : (float, float)
        Contrast of the chromatin's texture (0–1).
    clump : float
        Size of a chromatin clump relative to the radius of the cell.
    density : (float, float)
        Azure in the nucleus.
    nucleoli : (int, int)
    granules : Granules or None
    vacuoles : (int, int)
        Pale bubbles in the cytoplasm.
    rim : float
        How much deeper the cytoplasm is stained at the membrane.
    hof : float
        How pale the cytoplasm is on the nucleus's concave side (0–1).
    """

    diameter: Range
    nucleus: str
    nucleus_area: Range
    cytoplasm: Stains
    irregularity: float = 0.02
    moulding: tuple[int, int] = (0, 0)
    eccentricity: Range = (0.0, 0.5)
    lobes: tuple[int, int] = (2, 2)
    indentation: Range = (0.0, 0.0)
    chromatin: Range = (0.25, 0.4)
    clump: float = 0.14
    density: Range = (0.9, 1.1)
    nucleoli: tuple[int, int] = (0, 0)
    granules: Granules | None = None
    vacuoles: tuple[int, int] = (0, 0)
    rim: float = 0.3
    hof: float = 0.0


ANATOMY: dict[str, Anatomy] = {
    "basophil": Anatomy(
        diameter=(1.45, 1.8),
        nucleus="lobed",
        lobes=(2, 3),
        nucleus_area=(0.42, 0.56),
        cytoplasm=Stains(eosin=0.2, azure=0.2),
        irregularity=0.03,
        density=(0.7, 0.95),
        granules=Granules((0.5, 1.1), 0.055, Stains(azure=1.15, blue=0.35), over_nucleus=0.6),
    ),
    "eosinophil": Anatomy(
        diameter=(1.6, 2.0),
        nucleus="lobed",
        lobes=(2, 3),
        nucleus_area=(0.28, 0.4),
        cytoplasm=Stains(eosin=0.35, azure=0.04),
        eccentricity=(0.2, 0.8),
        granules=Granules((0.9, 1.7), 0.052, Stains(eosin=0.75, azure=0.06)),
    ),
    "erythroblast": Anatomy(
        diameter=(1.0, 1.4),
        nucleus="round",
        nucleus_area=(0.28, 0.52),
        cytoplasm=Stains(haemoglobin=0.5, blue=0.28, azure=0.06),
        eccentricity=(0.0, 0.7),
        chromatin=(0.1, 0.35),
        clump=0.2,
        density=(1.2, 1.55),
    ),
    "myeloblast": Anatomy(
        diameter=(1.7, 2.3),
        nucleus="round",
        nucleus_area=(0.7, 0.84),
        cytoplasm=Stains(blue=0.75, azure=0.15),
        irregularity=0.03,
        chromatin=(0.16, 0.28),
        clump=0.07,
        density=(0.7, 0.9),
        nucleoli=(1, 4),
        rim=0.35,
    ),
    "promyelocyte": Anatomy(
        diameter=(2.1, 2.7),
        nucleus="round",
        nucleus_area=(0.48, 0.64),
        cytoplasm=Stains(blue=0.55, azure=0.2),
        irregularity=0.04,
        moulding=(0, 2),
        eccentricity=(0.5, 1.0),
        chromatin=(0.14, 0.24),
        clump=0.07,
        density=(0.75, 0.95),
        nucleoli=(0, 2),
        granules=Granules((0.15, 0.6), 0.028, Stains(azure=0.6, eosin=0.25), over_nucleus=0.4),
        hof=0.5,
    ),
    "myelocyte": Anatomy(
        diameter=(1.8, 2.3),
        nucleus="round",
        nucleus_area=(0.36, 0.5),
        cytoplasm=Stains(blue=0.26, azure=0.12, eosin=0.16),
        irregularity=0.03,
        eccentricity=(0.6, 1.0),
        indentation=(0.0, 0.2),
        chromatin=(0.25, 0.4),
        clump=0.1,
        granules=Granules((0.1, 0.45), 0.024, Stains(azure=0.25, eosin=0.2), over_nucleus=0.15),
        hof=0.35,
    ),
    "metamyelocyte": Anatomy(
        diameter=(1.75, 2.15),
        nucleus="indented",
        nucleus_area=(0.34, 0.46),
        cytoplasm=Stains(eosin=0.26, azure=0.12, blue=0.08),
        irregularity=0.03,
        eccentricity=(0.4, 0.9),
        indentation=(0.5, 0.8),
        chromatin=(0.28, 0.42),
        clump=0.11,
        granules=Granules((0.1, 0.5), 0.02, Stains(azure=0.12, eosin=0.18)),
        vacuoles=(0, 3),
    ),
    "neutrophil_banded": Anatomy(
        diameter=(1.6, 2.0),
        nucleus="band",
        nucleus_area=(0.26, 0.37),
        cytoplasm=Stains(eosin=0.25, azure=0.08),
        eccentricity=(0.0, 0.5),
        chromatin=(0.28, 0.45),
        density=(1.0, 1.2),
        granules=Granules((0.2, 0.7), 0.018, Stains(azure=0.08, eosin=0.16)),
    ),
    "neutrophil_segmented": Anatomy(
        diameter=(1.55, 1.95),
        nucleus="lobed",
        lobes=(3, 5),
        nucleus_area=(0.26, 0.36),
        cytoplasm=Stains(eosin=0.26, azure=0.07),
        chromatin=(0.28, 0.45),
        density=(1.05, 1.25),
        granules=Granules((0.2, 0.7), 0.018, Stains(azure=0.08, eosin=0.16)),
    ),
    "monocyte": Anatomy(
        diameter=(1.95, 2.6),
        nucleus="indented",
        nucleus_area=(0.42, 0.58),
        cytoplasm=Stains(blue=0.36, azure=0.14, eosin=0.05),
        irregularity=0.06,
        moulding=(0, 3),
        eccentricity=(0.1, 0.7),
        indentation=(0.3, 0.75),
        chromatin=(0.18, 0.32),
        clump=0.09,
        density=(0.75, 0.95),
        granules=Granules((0.0, 0.2), 0.02, Stains(azure=0.3)),
        vacuoles=(0, 12),
    ),
    "lymphocyte_typical": Anatomy(
        diameter=(1.15, 1.5),
        nucleus="round",
        nucleus_area=(0.7, 0.88),
        cytoplasm=Stains(blue=0.5, azure=0.06),
        irregularity=0.025,
        indentation=(0.0, 0.25),
        eccentricity=(0.3, 1.0),
        chromatin=(0.22, 0.4),
        clump=0.2,
        density=(1.05, 1.3),
    ),
    "lymphocyte_atypical": Anatomy(
        diameter=(1.9, 2.6),
        nucleus="round",
        nucleus_area=(0.38, 0.54),
        cytoplasm=Stains(blue=0.48, azure=0.03),
        irregularity=0.1,
        moulding=(2, 4),
        eccentricity=(0.2, 0.9),
        indentation=(0.0, 0.35),
        chromatin=(0.2, 0.34),
        clump=0.13,
        density=(0.85, 1.1),
        nucleoli=(0, 2),
        vacuoles=(0, 3),
        rim=0.9,
        hof=0.3,
    ),
    "smudge_cell": Anatomy(
        diameter=(1.6, 2.6),
        nucleus="smear",
        nucleus_area=(1.0, 1.0),
        cytoplasm=Stains(),
        irregularity=0.1,
        chromatin=(0.2, 0.35),
        clump=0.17,
        density=(0.4, 0.75),
        nucleoli=(0, 3),
    ),
}

#: The thirteen classes, in the order of the paper.
CELL_CLASSES: tuple[str, ...] = tuple(ANATOMY)
