"""However a TensorFlow model is stored, no number of rows makes it trace or compile anew."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.backends.filled import FilledServable
from pipeline.backends.tensorflow import backend
from pipeline.backends.tensorflow.formats import open_saved_model
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged
from pipeline.serving.step.model_step import ModelStep
from tests.support import models
from tests.support.hub_server import save_embedding
from tests.support.specs import load, model_spec

ROWS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 100, 101, 128, 255, 256, 257, 1000, 1024, 2, 1)


def spec(inputs, *outputs, **changes):
    outputs = {name: name for name in outputs}
    return model_spec(framework="tensorflow", inputs=inputs, outputs=outputs, **changes)


def functions():
    """Names of the functions that TensorFlow has traced here, less those already collected."""
    from tensorflow.python.eager import context

    return set(context.context().list_function_names())


def batch(**columns):
    count = len(next(iter(columns.values())))
    return Batch(tuple(range(count)), tuple(b"%d" % i for i in range(count)), columns)


def pixels(rows):
    return np.random.default_rng(rows).normal(size=(rows, 4)).astype("float32")


def texts(rows):
    return np.array(["good film"] * rows, dtype=object)


def keras_export(folder):
    import keras

    model = keras.saving.load_model(models.keras_file(folder))
    model.export(folder / "exported", verbose=False)
    return folder / "exported"


def call_only(folder, **options):
    import tensorflow as tf

    class Layer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)], **options)
        def __call__(self, x):
            return x + 1

    tf.saved_model.save(Layer(), str(folder))
    return folder


def default_signature(folder):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")]
    )
    tf.saved_model.save(module, str(folder), signatures={"default": module.run})
    return folder


def compiled(folder):
    """A SavedModel whose signature calls a function that XLA compiles."""
    import tensorflow as tf

    twice = tf.function(lambda x: 2 * x, jit_compile=True)
    return models.save_function(folder, lambda x: {"y": twice(x)}, {"x": ("float32", [None, 4])})


X = spec({"x": "c"}, "y")
FORMATS = {
    "signature": (models.saved_model, X, pixels),
    "fixed rows": (lambda folder: models.saved_model(folder, rows=8), X, pixels),
    "text": (models.saved_model_text, spec({"s": "c"}, "shout"), texts),
    "keras": (models.keras_file, X, pixels),
    "keras, fixed rows": (lambda folder: models.keras_file(folder, rows=8), X, pixels),
    "keras, dicts": (models.keras_pair, spec({"a": "c", "b": "c"}, "total", "gap"), pixels),
    "keras, exported": (keras_export, spec({"x": "c"}, "output_0"), pixels),
    "call": (call_only, spec({"x": "c"}, "output_0"), pixels),
    "signature default": (default_signature, X, pixels),
    "module of a hub": (save_embedding, spec({"sentences": "c"}, "output_0"), texts),
    "compiled signature": (compiled, X, pixels),
    "compiled call": (
        lambda folder: call_only(folder, jit_compile=True),
        spec({"x": "c"}, "output_0"),
        pixels,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_no_number_of_rows_is_traced(name, tmp_path):
    build, entry, column = FORMATS[name]
    servable, step = load(build(tmp_path / "model"), entry), ModelStep(entry)
    step.run(batch(c=column(3)), servable)
    before = functions()
    for rows in ROWS:
        assert len(step.run(batch(c=column(rows)), servable)) == rows
    assert not functions() - before


@pytest.mark.parametrize("pad_value", [None, 0])
def test_no_length_of_rows_is_traced(pad_value, tmp_path):
    import tensorflow as tf

    def total(x):
        return {"y": tf.reduce_sum(x, axis=1)}

    path = models.save_function(tmp_path, total, {"x": ("float32", [None, None])})
    entry = spec({"x": {"column": "c", "pad_value": pad_value}}, "y")
    servable, step = load(path, entry), ModelStep(entry)
    step.run(batch(c=Ragged([np.ones(2, "float32")])), servable)
    before = functions()
    for longest in (1, 5, 17, 64):
        lengths = [1 + i % longest for i in range(longest + 1)]
        done = step.run(batch(c=Ragged([np.ones(n, "float32") for n in lengths])), servable)
        assert done.columns["y"].tolist() == lengths
    assert not functions() - before


def test_layers_of_a_keras_model_run_in_python_only_while_it_is_loaded(tmp_path):
    import keras

    calls = []

    @keras.saving.register_keras_serializable()
    class Counted(keras.layers.Layer):
        def call(self, x):
            calls.append(x.shape)
            return x + 1

    model = keras.Sequential([keras.Input((4,), name="x"), Counted(name="y")])
    servable = load(models.save_keras(model, tmp_path / "model.keras"), X)
    while_loading = len(calls)
    for rows in (3, 1, 2, 3):
        servable.predict({"x": pixels(rows)})
    assert len(calls) == while_loading


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A compiled model for up to 100 rows, and the numbers of rows that XLA sees."""
    seen = []

    def opened(*arguments):
        program = open_saved_model(*arguments)

        def record(tensors):
            seen.append(tensors["x"].shape[0])
            return program.call(tensors)

        return replace(program, call=record)

    monkeypatch.setattr(backend, "open_saved_model", opened)
    context = LoadContext("cpu", call_rows=100)
    servable = registry.backend("tensorflow").load(compiled(tmp_path), X, context)
    seen.clear()  # what warmed it up
    return servable, seen


def test_compiled_model_sees_few_numbers_of_rows_and_gives_back_those_that_came(recorded):
    servable, seen = recorded
    for rows in range(1, 101):
        x = pixels(rows)
        np.testing.assert_array_equal(servable.predict({"x": x})["y"], 2 * x)
    assert sorted(set(seen)) == [1, 2, 4, 8, 16, 32, 64, 100]
    assert set(seen) <= set(servable.warm_up_rows)


def test_call_of_more_rows_than_agreed_works_all_the_same(recorded):
    servable, seen = recorded
    assert servable.predict({"x": pixels(130)})["y"].shape == (130, 4)
    assert seen == [256]


def test_model_that_nothing_compiles_is_not_filled_up(tmp_path):
    servable = load(models.saved_model(tmp_path), X)
    assert not isinstance(servable, FilledServable)
    assert servable.warm_up_rows == ()
