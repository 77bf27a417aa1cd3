import numpy as np
import pytest

from pipeline.errors import InferenceError, LoadError, UntrustedArtifactError
from tests.support import models
from tests.support.specs import load, model_spec

ONES = np.ones((3, 4), "float32")


def spec(*outputs, **changes):
    entry = {"inputs": {"x": "pixels"}, "outputs": {output: output for output in outputs}}
    return model_spec(framework="tensorflow", **{**entry, **changes})


@pytest.mark.parametrize("build", [models.saved_model, models.keras_file])
def test_model_built_for_so_many_rows_says_so(build, tmp_path):
    servable = load(build(tmp_path, rows=8), spec("y"))
    assert servable.signature.fixed_batch_rows == 8
    assert servable.predict({"x": np.ones((8, 4), "float32")})["y"].shape == (8, 3)


def test_unknown_signature_is_refused_with_those_that_exist(tmp_path):
    with pytest.raises(LoadError, match="no signature 'classify'; its signatures are serving_def"):
        load(models.saved_model(tmp_path), spec("y", signature="classify"))


def test_text_goes_in_and_comes_out_as_str_or_as_bytes_where_it_is_no_utf8(tmp_path):
    servable = load(models.saved_model_text(tmp_path), spec("shout", inputs={"s": "text"}))
    texts = np.array(["hi", "", "ünï\0code", b"\xff"], dtype=object)
    found = servable.predict({"s": texts})["shout"]
    assert found.tolist() == ["hi!", "!", "ünï\0code!", b"\xff!"]


def test_reason_comes_before_the_stack_of_tensorflow(tmp_path):
    servable = load(models.saved_model(tmp_path), spec("y"))
    with pytest.raises(InferenceError, match=r"^Matrix size-incompatible: In\[0\]: \[2,5\]"):
        servable.predict({"x": np.ones((2, 5), "float32")})


def test_constant_of_a_dtype_that_fits_is_cast_to_the_declared_one(tmp_path):
    inputs = {"a": "left", "b": "right", "gain": {"value": 3, "dtype": "int32"}}
    servable = load(models.saved_model_pair(tmp_path), spec("total", inputs=inputs))
    found = servable.predict({"a": ONES, "b": ONES, "gain": np.array(3, "int32")})["total"]
    assert (found == 6).all()


def test_column_cannot_feed_an_input_without_batch_axis(tmp_path):
    inputs = {"a": "left", "b": "right", "gain": "gains"}
    with pytest.raises(LoadError, match=r"single value for input 'gain'.*column 'gains'"):
        load(models.saved_model_pair(tmp_path), spec("total", inputs=inputs))


def test_bfloat16_is_handed_over_and_back_as_float32(tmp_path):
    path = models.save_function(tmp_path, lambda x: {"y": x * 2}, {"x": ("bfloat16", [None, 4])})
    servable = load(path, spec("y"))
    assert [t.dtype for t in servable.signature.inputs] == ["float32"]
    found = servable.predict({"x": ONES})["y"]
    assert found.dtype == np.float32
    assert (found == 2).all()


def test_saved_model_that_keras_exported_is_loaded(tmp_path):
    import keras

    model = keras.saving.load_model(models.keras_file(tmp_path / "keras"))
    model.export(tmp_path / "exported", verbose=False)
    found = load(tmp_path / "exported", spec("output_0")).predict({"x": ONES})["output_0"]
    np.testing.assert_allclose(found, model(ONES).numpy(), rtol=1e-6)


def test_variables_that_are_cut_off_are_refused(tmp_path):
    path = models.saved_model(tmp_path)
    (data,) = (path / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:5])
    with pytest.raises(LoadError, match="cannot be loaded as a SavedModel"):
        load(path, spec("y"))


def test_sequential_model_is_called_by_the_names_it_prints(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, name="scores")])
    path = models.save_keras(model, tmp_path / "model.keras")
    servable = load(path, spec("scores", "output_0"))
    found = servable.predict({"x": ONES})
    np.testing.assert_allclose(found["scores"], model(ONES).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found["scores"], found["output_0"])


def test_keras_outputs_in_a_list_have_layer_names_and_positions(tmp_path):
    import keras

    a, b = keras.Input((4,), name="b_first"), keras.Input((4,), name="a_second")
    total, gap = keras.layers.Add(name="total")([a, b]), keras.layers.Subtract(name="gap")([a, b])
    path = models.save_keras(keras.Model([a, b], [total, gap]), tmp_path / "model.keras")
    servable = load(path, spec("gap", "output_0", inputs={"b_first": "left", "a_second": "right"}))
    found = servable.predict({"a_second": ONES, "b_first": 3 * ONES})
    assert (found["gap"] == 2).all()
    assert (found["output_0"] == 4).all()


def test_keras_layers_are_in_inference_mode(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dropout(0.5, name="y")])
    path = models.save_keras(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(load(path, spec("y")).predict({"x": ONES})["y"], ONES)


def test_keras_model_of_texts(tmp_path):
    import keras

    words = keras.layers.TextVectorization(max_tokens=5, output_mode="count", name="counts")
    words.adapt(np.array(["good film", "bad film"]))
    text = keras.Input((), dtype="string", name="text")
    path = models.save_keras(keras.Model(text, words(text)), tmp_path / "model.keras")
    servable = load(path, spec("counts", inputs={"text": "review"}))
    assert [t.dtype for t in servable.signature.inputs] == ["string"]
    texts = np.array(["film film", ""], dtype=object)
    found = servable.predict({"text": texts})["counts"]
    np.testing.assert_array_equal(found, words(["film film", ""]).numpy())


def test_keras_file_with_python_code_is_refused(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x)])
    path = models.save_keras(model, tmp_path / "model.keras")
    with pytest.raises(UntrustedArtifactError, match="Python code in a Lambda layer"):
        load(path, spec("y"))


def test_keras_file_that_names_a_file_elsewhere_is_refused(tmp_path):
    import json
    import zipfile

    import keras

    words = keras.Input((1,), dtype="string", name="s")
    lookup = keras.layers.StringLookup(vocabulary=["a"], name="y")
    keras.Model(words, lookup(words)).save(tmp_path / "plain.keras")
    path = tmp_path / "changed.keras"
    with zipfile.ZipFile(tmp_path / "plain.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["vocabulary"] = "/etc/hostname"
                content = json.dumps(config).encode()
            new.writestr(name, content)
    with pytest.raises(UntrustedArtifactError, match="a vocabulary outside the archive"):
        load(path, spec("y", inputs={"s": "text"}))


def test_folder_above_the_versions_is_refused_with_what_it_holds(tmp_path):
    models.saved_model(tmp_path / "12")
    with pytest.raises(
        LoadError, match=r"\(\.keras\) or a saved_model\.pb.*it holds 12; give its folder 12,"
    ):
        load(tmp_path, spec("y"))


def save_ragged(folder, depth=1):
    import tensorflow as tf

    class Splits(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
        def serve(self, s):
            words = tf.strings.split(s)
            if depth == 2:
                words = tf.strings.unicode_split(words, "UTF-8")
            sparse = tf.strings.split(s).to_sparse()
            return {"words": words, "count": words.row_lengths(), "sparse": sparse}

    module = Splits()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def test_ragged_tensor_is_a_ragged_column(tmp_path):
    servable = load(save_ragged(tmp_path), spec("words", "count", inputs={"s": "text"}))
    found = servable.predict({"s": np.array(["a ü", "", "b"], dtype=object)})
    assert [row.tolist() for row in found["words"].rows] == [["a", "ü"], [], ["b"]]
    assert found["count"].tolist() == [2, 0, 1]
    declared = {tensor.name: tensor for tensor in servable.signature.outputs}
    assert (declared["words"].dtype, declared["words"].row_shape) == ("string", (None,))


@pytest.mark.parametrize(
    ("name", "depth", "found"),
    [("words", 2, "a ragged tensor of rank 2, lists of lists"), ("sparse", 1, "a SparseTensor")],
)
def test_output_that_is_no_column_is_refused_with_what_makes_one(name, depth, found, tmp_path):
    path = save_ragged(tmp_path, depth)
    with pytest.raises(LoadError, match=f"output '{name}' is {found}.*`tf.sparse.to_dense` make"):
        load(path, spec(name, inputs={"s": "text"}))


def test_model_that_parses_examples_says_so(tmp_path):
    import tensorflow as tf

    features = {"a": tf.io.FixedLenFeature([], tf.float32, 0.0)}
    path = models.save_function(
        tmp_path / "parses",
        lambda s: {"a": tf.io.parse_example(s, features)["a"]},
        {"s": ("string", [None])},
    )
    assert load(path, spec("a", inputs={"s": "text"})).signature.takes_examples
    text = load(models.saved_model_text(tmp_path / "text"), spec("shout", inputs={"s": "text"}))
    assert not text.signature.takes_examples


def test_signature_behind_the_parser_of_another_does_not_say_so(tmp_path):
    """As TensorFlow Serving's own half_plus_two has them, saved by TensorFlow 1."""
    from tensorflow.compat import v1

    with v1.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder("string", [None])
        features = {"a": v1.FixedLenFeature([1], "float32")}
        a = v1.io.parse_example(examples, features)["a"]
        v1.saved_model.simple_save(session, str(tmp_path / "net"), {"a": a}, {"y": a * 2})
    servable = load(tmp_path / "net", spec("y", inputs={"a": "a"}))
    assert not servable.signature.takes_examples
    assert servable.predict({"a": np.ones((2, 1), "float32")})["y"].tolist() == [[2], [2]]
