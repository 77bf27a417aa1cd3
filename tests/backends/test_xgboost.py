import json
import logging
import re
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest

from pipeline.errors import LoadError
from pipeline.spec.model import unbound
from tests.support import models
from tests.support.specs import load, model_spec


def spec(*outputs, **changes):
    entry = {"inputs": {"X": "pixels"}, "outputs": {output: output for output in outputs}}
    return model_spec(framework="xgboost", **{**entry, **changes})


def classifier():
    import xgboost

    x, y = models.tree_rows()
    return xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(x, np.digitize(y, [-1, 1]))


def test_classifier_gives_probabilities_margins_and_leaves(tmp_path):
    fitted, (x, _) = classifier(), models.tree_rows()
    fitted.save_model(tmp_path / "model.ubj")
    servable = load(tmp_path, spec("predict", "margin", "leaf"))
    found = servable.predict({"X": x})
    np.testing.assert_array_equal(found["predict"], fitted.predict_proba(x))
    np.testing.assert_array_equal(found["margin"], fitted.predict(x, output_margin=True))
    np.testing.assert_array_equal(found["leaf"], fitted.apply(x))
    shapes = {t.name: t.row_shape for t in servable.signature.outputs}
    assert shapes == {"predict": (3,), "margin": (3,), "leaf": (9,)}


def test_linear_booster_has_no_leaves(tmp_path):
    import xgboost

    x, y = models.tree_rows()
    xgboost.XGBRegressor(n_estimators=3, booster="gblinear").fit(x, y).save_model(
        tmp_path / "model.ubj"
    )
    path = tmp_path / "model.ubj"
    outputs = load(path, unbound("xgboost", str(path))).signature.outputs
    assert [tensor.name for tensor in outputs] == ["predict", "margin"]


def stopped_early(path):
    """A model whose best round is not its last."""
    import xgboost

    x, y = models.tree_rows()
    noisy = y[:100] + np.random.default_rng(0).normal(size=100)
    fitted = xgboost.XGBRegressor(n_estimators=200, early_stopping_rounds=3)
    fitted.fit(x[:100], noisy, eval_set=[(x[100:], y[100:])], verbose=False)
    assert fitted.best_iteration + 1 < fitted.get_booster().num_boosted_rounds()
    fitted.save_model(path)
    return fitted


def test_estimator_that_stopped_early_predicts_with_its_best_round(tmp_path):
    fitted, (x, _) = stopped_early(tmp_path / "model.json"), models.tree_rows()
    found = load(tmp_path, spec("predict")).predict({"X": x})["predict"]
    np.testing.assert_array_equal(found, fitted.predict(x))


def test_booster_predicts_with_all_rounds_as_it_does_itself(tmp_path):
    import xgboost

    booster = stopped_early(tmp_path / "estimator.json").get_booster()
    booster.set_attr(scikit_learn=None)  # what only estimators write
    (tmp_path / "estimator.json").unlink()
    booster.save_model(tmp_path / "model.ubj")
    x, _ = models.tree_rows()
    found = load(tmp_path, spec("predict")).predict({"X": x})["predict"]
    np.testing.assert_array_equal(found, booster.predict(xgboost.DMatrix(x)))


@pytest.mark.parametrize("kind", ["gbtree", "dart", "gblinear"])
@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "multi:softprob"])
def test_rows_get_what_the_booster_makes_of_a_matrix_of_them(kind, objective, tmp_path):
    import xgboost

    x, y = models.tree_rows()
    if objective != "reg:squarederror":
        y = np.digitize(y, [0] if objective == "binary:logistic" else [-1, 1])
    told = {"booster": kind, "objective": objective, "base_score": 0.3, "rate_drop": 0.2}
    if objective == "multi:softprob":
        told["num_class"] = 3
    with xgboost.config_context(verbosity=0):
        booster = xgboost.train(told, xgboost.DMatrix(x, y), 5)
    booster.save_model(tmp_path / "model.ubj")
    rows = x.copy()
    if kind != "gblinear":
        rows[::3, 1] = np.nan
    servable, matrix = load(tmp_path, spec("predict", "margin")), xgboost.DMatrix(rows)
    found = servable.predict({"X": rows})
    np.testing.assert_array_equal(found["predict"], booster.predict(matrix))
    np.testing.assert_array_equal(found["margin"], booster.predict(matrix, output_margin=True))


def test_model_trained_on_named_features_takes_a_matrix(tmp_path):
    import xgboost

    x, y = models.tree_rows()
    data = xgboost.DMatrix(x, y, feature_names=["a", "b", "c", "d"])
    booster = xgboost.train({"max_depth": 2}, data, 3)
    booster.save_model(tmp_path / "model.json")
    found = load(tmp_path, spec("predict")).predict({"X": x})["predict"]
    np.testing.assert_array_equal(found, booster.predict(data))


def test_missing_values_are_nan(tmp_path):
    import xgboost

    path = models.xgboost_ubj(tmp_path)
    rows = np.full((3, 4), np.nan, "float32")
    found = load(path, spec("predict")).predict({"X": rows})["predict"]
    expected = xgboost.Booster(model_file=path).predict(xgboost.DMatrix(rows))
    np.testing.assert_array_equal(found, expected)


def test_file_named_model_is_read_whatever_its_format_without_warnings(tmp_path):
    path = models.xgboost_json(tmp_path).rename(tmp_path / "any.model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path, spec("predict")).predict({"X": np.zeros((2, 4), "float32")})


def test_old_binary_format_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "old.model").write_bytes(b"binf" + bytes(200))
    with pytest.raises(LoadError, match=r"old\.model is neither JSON nor UBJSON.*saved again as"):
        load(tmp_path, spec("predict"))


WEIGHTS = b"L" + struct.pack(">Q", 11) + b"weight_drop[$d#L" + bytes(8)
"""A key of UBJSON with an empty array."""


def as_newer(content, version, more=b""):
    """A booster in UBJSON as another version would save it, with more keys in its model.

    This version cannot write what it does not know.
    """
    packed = b"".join(b"i" + bytes([part]) for part in version)
    known = re.sub(rb"(?<=version\[#L\0{7}\x03).{6}", lambda _: packed, content, flags=re.DOTALL)
    model = known.index(b"model{", max(known.find(b"Model{"), 0)) + len(b"model{")
    return known[:model] + more + known[model:]


def saved_by(version, made, path, indent=None):
    """A file as another version would have saved it, with dart's weights where 3.3 has them."""
    import xgboost

    x, y = models.tree_rows()
    with xgboost.config_context(verbosity=0):
        booster = xgboost.train(made, xgboost.DMatrix(x, y), 5)
    content = json.loads(bytes(booster.save_raw("json")))
    trees = content["learner"]["gradient_booster"]
    if "gbtree" in trees:
        weights = trees.pop("weight_drop")
        content["learner"]["gradient_booster"] = {**trees.pop("gbtree"), "name": "gbtree"}
        content["learner"]["gradient_booster"]["model"]["weight_drop"] = weights
    content["version"] = version
    booster.load_model(bytearray(json.dumps(content).encode()))
    if path.suffix == ".json":
        path.write_text(json.dumps(content, indent=indent))
    else:
        more = WEIGHTS if made.get("booster") == "dart" else b""
        path.write_bytes(as_newer(bytes(booster.save_raw("ubj")), version, more))
    return path


@pytest.mark.parametrize(("suffix", "indent"), [(".json", None), (".json", 2), (".ubj", None)])
def test_file_of_a_newer_version_with_what_this_one_passes_over_is_refused(
    suffix, indent, tmp_path
):
    dart = {"booster": "dart", "rate_drop": 0.5, "one_drop": 1}
    with pytest.raises(LoadError, match=r"XGBoost 99\.4\.1 with weight_drop, .* train and save"):
        load(saved_by([99, 4, 1], dart, tmp_path / f"a{suffix}", indent), spec("predict"))
    assert load(saved_by([99, 4, 1], {}, tmp_path / f"b{suffix}", indent), spec("predict"))


ESTIMATOR = model_spec(
    framework="sklearn",
    inputs={"X": "pixels"},
    outputs={"predict_proba": "y"},
    trusted=True,
)


@pytest.mark.parametrize("name", ["model.joblib", "model.skops"])
def test_estimator_around_a_booster_of_a_newer_version_is_refused_as_its_file_is(
    name, tmp_path, monkeypatch
):
    from sklearn.pipeline import make_pipeline
    from xgboost import Booster

    estimator, written = make_pipeline(classifier()), Booster.__getstate__
    for more, file in ((WEIGHTS, tmp_path / "a" / name), (b"", tmp_path / "b" / name)):
        file.parent.mkdir()

        def newer(booster, more=more):
            state = written(booster)
            state["handle"] = bytearray(as_newer(bytes(state["handle"]), [99, 4, 1], more))
            return state

        with monkeypatch.context() as patch:
            patch.setattr(Booster, "__getstate__", newer)
            models.save_estimator(estimator, file)
    with pytest.raises(LoadError, match=r"XGBoost 99\.4\.1 with weight_drop, .* train and save"):
        load(tmp_path / "a" / name, ESTIMATOR)
    x, _ = models.tree_rows()
    found = load(tmp_path / "b" / name, ESTIMATOR).predict({"X": x})["predict_proba"]
    np.testing.assert_array_equal(found, estimator.predict_proba(x))


def test_boosters_are_looked_at_where_nothing_has_imported_xgboost(tmp_path):
    """What an estimator brings along is imported while it is read."""
    models.save_estimator(classifier(), tmp_path / "model.joblib")
    program = """
import sys
from pathlib import Path
from pipeline.backends import newer_boosters
from tests.backends.test_xgboost import ESTIMATOR
from tests.support.specs import load

newer_boosters.check_read_whole = lambda file, content, booster: print(len(content), booster)
assert "xgboost" not in sys.modules
load(Path(sys.argv[1]), ESTIMATOR)
"""
    command = [sys.executable, "-c", program, tmp_path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.match(r"\d+ <xgboost.core.Booster", said)


def test_refusal_says_what_is_wrong_without_a_stack(tmp_path):
    path = models.xgboost_json(tmp_path)
    path.write_text('{"learner": 1}')
    with pytest.raises(LoadError, match=r"cannot be loaded as an XGBoost model: ") as failure:
        load(path, spec("predict"))
    assert not any(part in str(failure.value) for part in ("Stack trace", "/src/", "[bt]"))


def test_fallback_from_the_gpu_is_silent_under_auto(tmp_path, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        assert load(models.xgboost_ubj(tmp_path), spec("predict"), device="auto").device == "cpu"
    assert not caplog.records


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_are_bounded_to_the_granted_threads(threads, tmp_path, monkeypatch):
    import json

    import xgboost

    seen, predict = [], xgboost.Booster.inplace_predict

    def look(booster, *arguments, **more):
        config = json.loads(booster.save_config())["learner"]["generic_param"]
        seen.append(config["nthread"])
        return predict(booster, *arguments, **more)

    servable = load(models.xgboost_ubj(tmp_path), spec("predict"), threads=threads)
    monkeypatch.setattr(xgboost.Booster, "inplace_predict", look)
    servable.predict({"X": np.ones((1, 4), "float32")})
    assert seen == [str(threads)]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": "left", "b": "right"}, "has no names for its features"),
        ({"X": {"value": [1, 2], "dtype": "float32"}}, "an XGBoost model, which takes exactly one"),
    ],
)
def test_inputs_that_are_no_features_and_no_matrix_are_refused(inputs, message, tmp_path):
    with pytest.raises(LoadError, match=message):
        load(models.xgboost_ubj(tmp_path), spec("predict", inputs=inputs))


def test_infinite_value_is_refused_wherever_trees_read_it(tmp_path):
    servable = load(models.xgboost_ubj(tmp_path), spec("predict"))
    rows = np.ones((2, 4), "float32")
    rows[1, 2] = np.inf
    with pytest.raises(Exception, match="inf"):
        servable.predict({"X": rows})
