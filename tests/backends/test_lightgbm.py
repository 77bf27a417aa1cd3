import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import models
from tests.support.specs import load, model_spec


def spec(*outputs, **changes):
    entry = {"inputs": {"X": "pixels"}, "outputs": {output: output for output in outputs}}
    return model_spec(framework="lightgbm", **{**entry, **changes})


def test_classifier_gives_probabilities_raw_scores_and_leaves(tmp_path):
    import lightgbm

    x, y = models.tree_rows()
    fitted = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1)
    fitted.fit(x, np.digitize(y, [-1, 1])).booster_.save_model(tmp_path / "model.txt")
    servable = load(tmp_path, spec("predict", "raw", "leaf"))
    found = servable.predict({"X": x})
    np.testing.assert_array_equal(found["predict"], fitted.predict_proba(x))
    np.testing.assert_array_equal(found["raw"], fitted.predict(x, raw_score=True))
    np.testing.assert_array_equal(found["leaf"], fitted.predict(x, pred_leaf=True))
    outputs = {t.name: (t.dtype, t.row_shape) for t in servable.signature.outputs}
    assert outputs == {
        "predict": ("float64", (3,)),
        "raw": ("float64", (3,)),
        "leaf": ("int32", (9,)),
    }


def test_large_integers_are_not_rounded_to_float32(tmp_path):
    import lightgbm

    x = 2**24 + np.arange(200).reshape(-1, 1)
    path = tmp_path / "model.txt"
    booster = lightgbm.train(
        {"verbose": -1, "min_data_in_leaf": 1, "num_leaves": 200}, lightgbm.Dataset(x, x[:, 0]), 5
    )
    booster.save_model(path)
    found = load(path, spec("predict")).predict({"X": x})["predict"]
    np.testing.assert_array_equal(found, booster.predict(x.astype("float64")))


@pytest.mark.parametrize("cut_at", [b"tree_sizes=", b"Tree=1", b"leaf_value", b"end of trees"])
def test_cut_off_file_is_refused_before_lightgbm_reads_behind_its_end(cut_at, tmp_path):
    path = models.lightgbm_text(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(cut_at)])
    with pytest.raises(LoadError, match=r"model\.txt is cut off or damaged"):
        load(path, spec("predict"))


def test_file_of_the_first_releases_of_lightgbm_2_is_read(tmp_path):
    """Nothing stands between their trees and the importances, and nothing of parameters behind."""
    path = models.lightgbm_text(tmp_path)
    rows = {"X": models.tree_rows()[0]}
    expected = load(path, spec("predict")).predict(rows)["predict"]
    trees, _, _ = path.read_bytes().partition(b"\nend of trees")
    old = trees.replace(b"version=v4", b"version=v2")
    path.write_bytes(old + b"\n\nfeature importances:\nColumn_0=1\n\npandas_categorical:null\n")
    found = load(path, spec("predict")).predict(rows)["predict"]
    np.testing.assert_array_equal(found, expected)
    path.write_bytes(old + b"\n")
    with pytest.raises(LoadError, match="cut off or damaged"):
        load(path, spec("predict"))


def test_file_that_lost_lines_within_is_refused(tmp_path):
    path = models.lightgbm_text(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    del lines[next(i for i, line in enumerate(lines) if line.startswith("threshold="))]
    path.write_text("".join(lines))
    with pytest.raises(LoadError, match="its trees are not as long as it says"):
        load(path, spec("predict"))


def test_other_text_is_refused_with_what_was_expected(tmp_path):
    (tmp_path / "notes.txt").write_text("trees are nice\n")
    with pytest.raises(
        LoadError, match=r"not a LightGBM model: expected the text that .*save_model"
    ):
        load(tmp_path, spec("predict"))


def test_inputs_that_are_no_features_are_refused(tmp_path):
    with pytest.raises(LoadError, match=r"has no feature called 'a'; its features are Column_0, "):
        load(models.lightgbm_text(tmp_path), spec("predict", inputs={"a": "c", "b": "d"}))
