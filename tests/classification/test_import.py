import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import dorl.classification",
        "from dorl.classification import cross_lab, make_classifier; make_classifier('XGBoost')",
        "import dorl.reporting",
        "from dorl.reporting import write_tables, write_report, latent_space",
    ],
)
def test_torch_is_not_loaded(code):
    check = f"{code}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    import dorl.classification

    with pytest.raises(AttributeError, match="no_such"):
        _ = dorl.classification.no_such
