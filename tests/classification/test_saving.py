import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dorl.classification import CLASSIFIERS, load_classifier, make_classifier, save_classifier
from dorl.errors import InputError

from .made_up import lab

DATA = lab({"neutrophil": 20, "monocyte": 20, "eosinophil": 20})


class Foreign(SGDClassifier):
    pass


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_is_read_predicts_as_what_was_written(name, tmp_path):
    model = make_classifier(name).fit(DATA.X, DATA.y.astype(str))
    path = tmp_path / "model.skops"
    save_classifier(model, path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.skops"]
    back = load_classifier(path)
    np.testing.assert_array_equal(back.predict_proba(DATA.X), model.predict_proba(DATA.X))
    np.testing.assert_array_equal(back.predict(DATA.X), model.predict(DATA.X))


@pytest.mark.parametrize(
    "foreign",
    [
        Foreign(),
        make_pipeline(FunctionTransformer(np.log1p), make_classifier("LR")),
        make_pipeline(SGDClassifier()),
        {"not": "a model"},
    ],
)
def test_a_file_with_anything_else_is_refused(foreign, tmp_path):
    skops.io.dump(foreign, tmp_path / "foreign.skops")
    with pytest.raises(InputError, match="not loaded"):
        load_classifier(tmp_path / "foreign.skops")


def test_a_forged_tree_that_would_crash_the_process_is_refused(tmp_path):
    save_classifier(make_classifier("RF").fit(DATA.X, DATA.y.astype(str)), tmp_path / "forest.skops")
    with (
        zipfile.ZipFile(tmp_path / "forest.skops") as whole,
        zipfile.ZipFile(tmp_path / "forged.skops", "w") as forged,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith(".npy"):
                values = np.load(io.BytesIO(content), allow_pickle=False)
                if values.dtype.names and "left_child" in values.dtype.names:
                    values["left_child"][0] = 10**6
                    buffer = io.BytesIO()
                    np.save(buffer, values)
                    content = buffer.getvalue()
            forged.writestr(name, content)
    with pytest.raises(InputError, match="forged"):
        load_classifier(tmp_path / "forged.skops")


def test_a_broken_or_missing_file_is_told_in_one_line(tmp_path):
    (tmp_path / "broken.skops").write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a whole skops file"):
        load_classifier(tmp_path / "broken.skops")
    with pytest.raises(InputError, match="no such"):
        load_classifier(tmp_path / "missing.skops")


def test_a_classifier_over_views_saved_by_an_earlier_version_answers():
    """Saved files name the modules of their estimators; this one was written before these had today's folders."""
    rng = np.random.default_rng(0)
    y = np.repeat(["eosinophil", "lymphocyte", "monocyte"], 12)
    means = {name: rng.normal(size=6) * 3 for name in np.unique(y)}
    X = np.stack([[means[name] + rng.normal(size=6) for _ in range(3)] for name in y]).astype(np.float32)
    model = load_classifier(Path(__file__).parent / "version_0_1" / "views.skops")
    assert model.predict(X).tolist() == y.tolist()
