from __future__ import annotations

import re
from pathlib import Path

from dorl.run.card import write_card
from dorl.run.folder import read_config


def test_the_card_says_what_was_learnt_and_measured(run: Path) -> None:
    card = (run / "README.md").read_text()
    assert "harbour: 30 images, 30 labelled" in card
    assert re.search(r"\| harbour \| dune \| \d+\.\d \(\d+\.\d–\d+\.\d\) \| \d+\.\d \(\d+\.\d–\d+\.\d\) \|", card)
    assert "those of: harbour, dune" in card
    write_card(run, read_config(run), {"results": []})
    assert "no lab here has labels" in (run / "README.md").read_text()
