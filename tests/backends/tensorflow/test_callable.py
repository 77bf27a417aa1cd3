"""SavedModels without the signature that is asked for, as the modules of hubs often are."""

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import models
from tests.support.hub_server import embedded, save_embedding
from tests.support.specs import load, model_spec

ONES = np.ones((3, 4), "float32")


def spec(inputs, *outputs, **changes):
    return model_spec(
        framework="tensorflow", inputs=inputs, outputs={name: name for name in outputs}, **changes
    )


def save(module, folder, **options):
    import tensorflow as tf

    tf.saved_model.save(module, str(folder), **options)
    return folder


@pytest.fixture
def trained(tmp_path):
    """Traced for training and for use, for a tensor and a dict each, as Keras 2 saved layers."""
    import tensorflow as tf

    class Layer(tf.Module):
        def __init__(self):
            super().__init__()
            self.bias = tf.Variable(1.0)

        @tf.function
        def __call__(self, inputs, training=False):
            x = inputs["x"] if isinstance(inputs, dict) else inputs
            y = x + (100.0 if training else self.bias)
            return {"y": y, "z": 2 * y, "taken_from_dict": tf.fill([tf.shape(x)[0]], x is inputs)}

    layer = Layer()
    tensor = tf.TensorSpec([None, 4], tf.float32, name="inputs")
    for training in (True, False):
        layer.__call__.get_concrete_function(tf.TensorSpec([8, 4], tf.float32), training=training)
        layer.__call__.get_concrete_function(tensor, training=training)
        layer.__call__.get_concrete_function({"x": tensor}, training=training)
    return save(layer, tmp_path / "trained")


def test_module_without_signature_is_called_as_an_object(tmp_path):
    path = save_embedding(tmp_path / "words", scale=2.0)
    servable = load(path, spec({"sentences": "text"}, "output_0"))
    (declared,) = servable.signature.inputs
    assert (declared.dtype, declared.row_shape) == ("string", ())
    texts = ["good film", "", "unheard-of film"]
    found = servable.predict({"sentences": np.array(texts, dtype=object)})["output_0"]
    np.testing.assert_array_equal(found, [embedded(text, 2.0) for text in texts])
    assert servable.size_bytes == 4 * 3 * 4


def test_callable_is_used_without_training_and_for_any_number_of_rows(trained):
    servable = load(trained, spec({"inputs": "pixels"}, "y", "z"))
    assert servable.signature.fixed_batch_rows is None
    for rows in (1, 5):
        found = servable.predict({"inputs": np.ones((rows, 4), "float32")})
        assert (found["y"] == 2).all()
        assert (found["z"] == 4).all()
        assert found["y"].shape == (rows, 4)


def test_names_of_the_inputs_choose_among_the_variants(trained):
    servable = load(trained, spec({"inputs_x": "pixels"}, "y", "taken_from_dict"))
    found = servable.predict({"inputs_x": ONES})
    assert (found["y"] == 2).all()
    assert not found["taken_from_dict"].any()


def test_unknown_input_is_refused_with_those_that_the_callable_has(tmp_path):
    path = save_embedding(tmp_path / "words")
    with pytest.raises(LoadError, match="no input 'text'; its inputs are sentences"):
        load(path, spec({"text": "text"}, "output_0"))


def test_call_can_be_asked_for_beside_signatures_and_is_listed_with_them(tmp_path):
    import tensorflow as tf

    class Both(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def __call__(self, x):
            return x + 1

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def doubled(self, x):
            return {"y": 2 * x}

    both = Both()
    path = save(both, tmp_path / "both", signatures={"serving_default": both.doubled})
    assert (load(path, spec({"x": "x"}, "y")).predict({"x": 3 * ONES})["y"] == 6).all()
    called = load(path, spec({"x": "x"}, "output_0", signature="__call__"))
    assert (called.predict({"x": 3 * ONES})["output_0"] == 4).all()
    with pytest.raises(LoadError, match="'tripled'; its signatures are serving_default, __call__"):
        load(path, spec({"x": "x"}, "y", signature="tripled"))


def test_signature_default_stands_in_where_nothing_can_be_called(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")]
    )
    path = save(module, tmp_path / "converted", signatures={"default": module.run})
    assert (load(path, spec({"x": "x"}, "y")).predict({"x": ONES})["y"] == 2).all()


def test_ragged_output_of_a_call_is_a_ragged_column(tmp_path):
    import tensorflow as tf

    class Splitter(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, s):
            return tf.strings.split(s)

    path = save(Splitter(), tmp_path / "splitter", signatures={})
    texts = np.array(["a b", "", "c"], dtype=object)
    found = load(path, spec({"s": "text"}, "output_0")).predict({"s": texts})["output_0"]
    assert [row.tolist() for row in found.rows] == [["a", "b"], [], ["c"]]


def test_model_with_nothing_to_call_is_refused(tmp_path):
    import tensorflow as tf

    class Silent(tf.Module):
        @tf.function
        def __call__(self, x):
            return x

    for module, reason in (
        (Silent(), "no signature, and no `__call__` that was saved for plain tensors"),
        (tf.Module(), "no signature 'serving_default'; its signatures are none"),
    ):
        path = save(module, tmp_path / type(module).__name__)
        with pytest.raises(LoadError, match=reason):
            load(path, spec({"x": "x"}, "output_0"))


def test_module_of_the_old_hub_format_is_refused_with_what_to_take_instead(tmp_path):
    path = models.saved_model(tmp_path)
    (path / "tfhub_module.pb").write_bytes(b"\x08\x03")
    with pytest.raises(LoadError, match=r"old TF1 Hub format .* expected a TensorFlow 2 SavedMod"):
        load(path, spec({"x": "x"}, "y"))
