"""What cannot be loaded is refused with what was found and what to do instead."""

import json
import pickle
import re
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from sklearn import feature_extraction
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pipeline.backends.foreign_files import UNREADABLE, way_out
from pipeline.drafting.recognition import FRAMEWORK_SUFFIXES
from pipeline.errors import LoadError
from tests.support import models
from tests.support.specs import load, model_spec

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def refusal(path, framework, **keys):
    keys.setdefault("inputs", {"X": "c"})
    with pytest.raises(LoadError) as refused:
        load(path, model_spec(framework=framework, outputs={"predict": "p"}, **keys))
    return str(refused.value)


# Files of other kinds -----------------------------------------------------------------------------


def save_h5(path):
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)


@pytest.mark.parametrize("folder", [False, True])
def test_keras_model_in_hdf5_is_refused_with_how_to_save_it(folder, tmp_path):
    save_h5(tmp_path / "model.h5")
    text = refusal(tmp_path if folder else tmp_path / "model.h5", "tensorflow")
    assert "model.h5 is a Keras model in the old HDF5 format" in text
    assert "save it as .keras, or as a SavedModel with model.export(FOLDER)" in text


def test_old_keras_format_under_the_new_name_is_told_by_its_content(tmp_path):
    save_h5(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / "model.keras")
    assert "model.keras is a Keras model in the old HDF5 format" in refusal(tmp_path, "tensorflow")


def test_weights_of_keras_alone_are_refused_as_such(tmp_path):
    save_h5(tmp_path / "model.weights.h5")
    text = refusal(tmp_path, "tensorflow")
    assert "model.load_weights" in text
    assert "load_model" not in text


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_pickle_for_a_framework_that_reads_none_is_refused_with_how_to_save_it(framework, tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Y))
    text = refusal(tmp_path, framework)
    assert "model.pkl is a pickle, which `framework: sklearn` reads" in text
    assert "booster.save_model('model.ubj')" in text


@pytest.mark.parametrize(
    ("name", "says"),
    [("m.tar.xz", "pack the model as .tar.gz or .zip"), ("m.zip", "give it as the `uri`")],
)
def test_archive_where_a_model_file_is_expected_is_refused_with_what_to_do(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"packed")
    assert says in refusal(tmp_path, "onnx")


def test_folder_of_a_folder_that_holds_the_model_is_named(tmp_path):
    """As the archives of TensorFlow's detection models are laid out."""
    (tmp_path / "pipeline.config").touch()
    for file in ("checkpoint/ckpt-0.index", "saved_model/saved_model.pb"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    text = refusal(tmp_path, "tensorflow")
    assert "; give its folder saved_model, which has saved_model.pb; an archive as `uri`" in text
    assert "give its folder" not in refusal(tmp_path, "onnx")


def test_no_file_that_some_framework_reads_by_itself_counts_as_unreadable():
    assert not set(UNREADABLE) & {suffix for some in FRAMEWORK_SUFFIXES.values() for suffix in some}
    assert all(way_out(f"model{suffix.upper()}") for suffix in UNREADABLE)
    assert way_out("model.onnx") is None


@pytest.mark.parametrize(
    ("name", "keys", "told"),
    [
        ("DictVectorizer", {}, "save the steps behind it alone, and make their columns"),
        ("FeatureHasher", {"n_features": 8}, "or fit it with input_type='string' on lists"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_transformer_of_dictionaries_is_refused_with_what_to_fit(
    name, keys, told, inside, tmp_path
):
    model = getattr(feature_extraction, name)(**keys)
    model = make_pipeline(model, LogisticRegression()) if inside else model
    model.fit([{"age": 1, "sex": "f"}, {"age": 2, "sex": "m"}], [0, 1])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    text = refusal(tmp_path, "sklearn", trusted=True)
    assert f"begins with a {name}, which takes a dictionary or pairs for each row" in text
    assert told in text


def test_hasher_of_texts_takes_a_field_of_texts(tmp_path):
    texts = np.array([["sex=f", "town=a"], ["sex=m", "town=b"]], dtype=object)
    hasher = feature_extraction.FeatureHasher(64, input_type="string")
    model = make_pipeline(hasher, LogisticRegression()).fit(texts.tolist(), [0, 1])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    keys = {"inputs": {"X": "c"}, "outputs": {"predict": "p"}, "trusted": True}
    served = load(tmp_path, model_spec(framework="sklearn", **keys))
    assert served.predict({"X": texts})["predict"].tolist() == [0, 1]


def boosters(kind):
    """Boosters in formats that are read nowhere here, as their libraries write them."""
    if kind == "lightgbm":
        import lightgbm

        booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 2)
        return json.dumps(booster.dump_model()).encode()
    import catboost

    model = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        model.fit(X, Y).save_model(file.name, format="json")
        return file.read()


@pytest.mark.parametrize(
    ("name", "begin", "told"),
    [
        ("model.bst", bytes(136) + b"\x0f" + bytes(7) + b"binary:logistic", "old binary format"),
        ("a.model", b"binf" + bytes(136) + b"\x0b" + bytes(7) + b"reg:tweedie", "save it again"),
        ("model.json", b'{"format": "layers-model", "generatedBy"', "made for TensorFlow.js"),
        ("group1-shard1of2.bin", b"\x00" * 9, "made for TensorFlow.js"),
        ("model.bin", b"\xba\x16\x4f\x2f\x0c\x00\x00\x00", "a fastText model"),
        ("model.bin", b"\x80\x02\x8a\x0al", "most likely weights without a network"),
        ("model.dat", b"\x80\x04\x95", "a pickle"),
        ("model.dat", b"\x89HDF\r\n\x1a\n", "a Keras model"),
        ("model", b"\x1c\x00\x00\x00TFL3", "made for TensorFlow Lite"),
        ("model.lgbm", b"tree\nversion=v4", "`framework: lightgbm` reads from a .txt file"),
        ("frozen.pb", b"\n9\n\x01x", "frozen graph of TensorFlow 1"),
    ],
)
def test_first_bytes_tell_what_a_file_is_where_its_name_does_not(name, begin, told):
    assert told in way_out(name, begin)


@pytest.mark.parametrize(
    ("kind", "told"), [("lightgbm", "what LightGBM's dump_model gives"), ("catboost", "as JSON")]
)
def test_booster_as_json_is_refused_with_how_to_save_it(kind, told, tmp_path):
    (tmp_path / "model.json").write_bytes(boosters(kind))
    assert told in refusal(tmp_path, kind)
    assert told in refusal(tmp_path / "model.json", kind)


# Pickles ------------------------------------------------------------------------------------------

TRAIN = """
import sys
import joblib, numpy as np
from skops import io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
def log1(x):
    return np.log1p(np.abs(x))
model = make_pipeline(FunctionTransformer(log1), LinearRegression()).fit(np.eye(3), np.ones(3))
(io if sys.argv[1].endswith("skops") else joblib).dump(model, sys.argv[1])
"""


@pytest.mark.parametrize("name", ["model.joblib", "model.skops"])
def test_function_of_the_training_script_is_named_with_where_to_put_it(name, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    subprocess.run([sys.executable, tmp_path / "train.py", tmp_path / name], check=True)
    text = refusal(tmp_path / name, "sklearn", trusted=True)
    assert f"{name} needs 'log1' of the script that saved it" in text
    assert "move 'log1' into a module that can be imported wherever the job runs" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cnot_installed.models\nModel\n.", "the package 'not_installed', which is not installed"),
        (b"csklearn.gone\nModel\n.", "the module 'sklearn.gone', which the installed sklearn does"),
        (b"csklearn.tree\nGone\n.", "'Gone' of the module 'sklearn.tree', which the installed"),
    ],
)
def test_what_a_pickle_needs_and_is_not_here_is_named(content, message, tmp_path):
    (tmp_path / "model.pkl").write_bytes(content)
    text = refusal(tmp_path, "sklearn", trusted=True)
    assert message in text
    assert "install" in text


def test_pickled_booster_of_xgboost_is_refused_with_how_to_save_it(tmp_path):
    import xgboost

    booster = xgboost.train({}, xgboost.DMatrix(X, Y), 2)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(booster))
    text = refusal(tmp_path, "sklearn", trusted=True)
    assert "holds a Booster of xgboost" in text
    assert "booster.save_model('model.ubj') and set `framework: xgboost`" in text


def test_pickled_booster_of_lightgbm_is_refused_with_how_to_save_it(tmp_path):
    import lightgbm

    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 2)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(booster))
    text = refusal(tmp_path, "sklearn", trusted=True)
    assert "booster.save_model('model.txt') and set `framework: lightgbm`" in text


def test_estimators_of_xgboost_and_lightgbm_are_read(tmp_path):
    import lightgbm
    import xgboost

    for made in (xgboost.XGBClassifier(n_estimators=2), lightgbm.LGBMClassifier(verbose=-1)):
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(made.fit(X, Y)))
        entry = {"inputs": {"X": "c"}, "outputs": {"predict": "p"}, "trusted": True}
        found = load(tmp_path, model_spec(framework="sklearn", **entry)).predict({"X": X})
        np.testing.assert_array_equal(found["predict"], made.predict(X))


def test_estimator_inside_a_dictionary_is_refused_with_what_the_dictionary_has(tmp_path):
    found = {"model": models.classifier(), "columns": ["a", "b"]}
    models.save_estimator(found, tmp_path / "model.joblib")
    text = refusal(tmp_path, "sklearn", trusted=True)
    assert "holds a dict (model, columns), not a fitted estimator" in text
    assert "save the estimator by itself" in text


# TensorFlow ---------------------------------------------------------------------------------------


def test_keras_class_that_the_file_does_not_bring_is_named_with_what_to_save(tmp_path):
    path = models.save_keras_with_own_class(tmp_path / "model.keras", layers=30)
    text = refusal(path, "tensorflow")
    assert "needs the class 'Twice', which is not in the file" in text
    assert "model.export(FOLDER)" in text


def save_composites(folder):
    """A signature of a ragged tensor, a plain one and a sparse one."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(
            input_signature=[
                tf.RaggedTensorSpec([None, None], tf.float32),
                tf.TensorSpec([None], tf.float32, name="b"),
                tf.SparseTensorSpec([None, 5], tf.float32),
            ]
        )
        def total(self, a, b, c):
            return {"y": tf.reduce_sum(a, 1) + b + tf.sparse.reduce_sum(c, 1)}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.total})
    return folder


def test_parts_of_ragged_and_sparse_tensors_are_refused_and_told_which_belong_together(tmp_path):
    text = refusal(save_composites(tmp_path), "tensorflow")
    assert "a, a_1 are one ragged tensor (its values and row splits)" in text
    assert re.search(r"; c, c_1, c_2 are one sparse tensor \(its indices, values and shape\)", text)
    assert "tf.RaggedTensor.from_tensor(x, padding=...) or tf.sparse.from_dense(x)" in text
    assert " b" not in text.partition("; export")[0].partition("no rows: ")[2]


def test_signature_of_plain_tensors_like_the_parts_of_a_ragged_one_is_read(tmp_path):
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)])
        def total(self, x):
            return tf.reduce_sum(x, 1)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="x"),
                tf.TensorSpec([None], tf.int64, name="n"),
            ]
        )
        def serve(self, x, n):
            return {"y": x * tf.cast(n, tf.float32)}

    model = Model()
    tf.saved_model.save(model, str(tmp_path), signatures={"serving_default": model.serve})
    entry = {"inputs": {"x": "c", "n": "d"}, "outputs": {"y": "p"}}
    servable = load(tmp_path, model_spec(framework="tensorflow", **entry))
    found = servable.predict({"x": np.ones(2, "float32"), "n": np.array([2, 3])})
    assert found["y"].tolist() == [2, 3]
