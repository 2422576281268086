"""Shares of the classes in the blood and the bone marrow of healthy adults."""

from __future__ import annotations

#: per cent, lower and upper limit of each node of the tree
Intervals = dict[str, tuple[float, float]]

#: adult peripheral blood. The limits are those of the counts (10⁹/l) of Wakeman et al., *Robust, routine haematology
#: reference ranges for healthy adults*, Int. J. Lab. Hematol. 29 (2007), over the mean of the total white count's
#: limits, 6.4: neutrophils 1.7-6.2, lymphocytes 1.0-3.4, monocytes 0.2-0.8, eosinophils 0-0.4, basophils 0-0.1; as
#: Table 6 of doi 10.3389/fphar.2020.00314 has them. Bands are 1-5 % in many laboratories' tables.
BLOOD: Intervals = {
    "neutrophil": (27.0, 97.0),
    "neutrophil_banded": (1.0, 5.0),
    "lymphocyte": (16.0, 53.0),
    "monocyte": (3.0, 12.5),
    "eosinophil": (0.0, 6.0),
    "basophil": (0.0, 1.6),
}

#: adult bone marrow, nucleated cells of an aspirate: Osgood and Seaman 1944, as Wintrobe's Clinical Hematology (10th
#: ed., 1999) gives them
MARROW: Intervals = {
    "myeloblast": (0.2, 1.5),
    "promyelocyte": (2.1, 4.1),
    "myelocyte": (8.2, 15.7),
    "metamyelocyte": (9.6, 24.6),
    "neutrophil_banded": (9.5, 15.3),
    "neutrophil_segmented": (6.0, 12.0),
    "eosinophil": (1.2, 5.3),
    "basophil": (0.0, 0.2),
    "monocyte": (0.0, 0.8),
    "lymphocyte": (11.1, 23.2),
    "erythroblast": (18.4, 33.8),
}

#: by the names that ``--expect`` takes
KNOWN: dict[str, Intervals] = {"blood": BLOOD, "marrow": MARROW}
