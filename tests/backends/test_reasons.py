"""The reason in a framework's error survives, in one line; stacks and dumps around it do not."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.backends.reasons import MAX_CHARS, cut, hides_its_reason, own_words, with_type
from tests.support import models


def raised(call, *args, **kwargs):
    with pytest.raises(Exception) as caught:  # whatever the framework raises
        call(*args, **kwargs)
    return caught.value


@given(st.text())
@example("{" * 5000 + "}" * 4999)
@example("a\n" * 5000)
@example('  File "x", line 1\n' * 2000)
def test_reason_is_one_line_that_is_not_too_long(text):
    words = own_words(ValueError(text))
    assert len(words) <= MAX_CHARS + len("ValueError ")
    assert len(words.splitlines()) == 1


@given(
    st.lists(st.text("abc ", min_size=1).map(lambda t: f"x{t}x"), min_size=1), st.integers(20, 200)
)
@example(["a", "b"] * 100, 60)
def test_what_is_cut_keeps_its_beginning_and_its_end(parts, chars):
    text = "".join(parts)
    short = cut(text, chars)
    assert len(short) <= chars
    begin, gap, end = short.partition(" [...] ")
    assert text.startswith(begin)
    assert text.endswith(end)
    assert bool(gap) == (len(text) > chars)


def test_error_without_words_is_named_by_its_type():
    assert own_words(MemoryError()) == "MemoryError"
    assert own_words(KeyError("x")) == "KeyError 'x'"
    assert with_type(MemoryError()) == "MemoryError"
    assert with_type(KeyError("x")) == "KeyError: 'x'"
    assert with_type(ValueError("no such row")) == "ValueError: no such row"


def test_pytorch_both_lists_of_keys_are_seen():
    import torch

    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(90)))
    weights = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    words = own_words(raised(network.load_state_dict, weights))
    assert 'Missing key(s) in state_dict: "0.weight", "0.bias"' in words
    assert 'Unexpected key(s) in state_dict: "module.0.weight"' in words
    assert words.endswith('"module.89.bias".')


def test_torchscript_the_last_thing_raised_is_told_with_all_its_lines():
    import torch

    @torch.jit.script
    def fails(x: torch.Tensor):
        assert x.sum() > 0, "the sum is too small,\nso nothing can be divided by it"
        return x

    error = raised(fails, torch.zeros(2))
    assert hides_its_reason(error)
    words = own_words(error)
    assert words == (
        "RuntimeError: AssertionError: the sum is too small, so nothing can be divided by it"
    )


def test_onnx_runtime_tells_no_places_in_its_code(tmp_path):
    import onnxruntime

    x = {"x": ("float32", ["n"])}
    path = models.save_onnx(
        tmp_path / "clip.onnx", [("Clip", ["x", "low"], ["y"], {})], x, {"y": x["x"]}, {"low": 1.0}
    )
    words = own_words(raised(onnxruntime.InferenceSession, path))
    assert "Optype (Clip) bound to different types" in words

    path = models.save_onnx(
        tmp_path / "add.onnx",
        [("Add", ["x", "by"], ["y"], {})],
        x,
        {"y": x["x"]},
        {"by": np.zeros(3, "float32")},
    )
    session = onnxruntime.InferenceSession(path)
    words = own_words(raised(session.run, None, {"x": np.zeros(2, "float32")}))
    assert "Attempting to broadcast an axis by a dimension other than 1. 2 by 3" in words
    assert ".h:" not in words
    assert "onnxruntime::" not in words


def test_xgboost_tells_no_stack(tmp_path):
    import xgboost

    (tmp_path / "model.json").write_text('{"learner": 1}')
    words = own_words(raised(xgboost.Booster, model_file=tmp_path / "model.json"))
    assert "Invalid cast" in words
    assert ".cc:" not in words
    assert "Stack trace" not in words
    assert "[bt]" not in words


def test_keras_class_that_is_not_there_is_named_between_two_dumps(tmp_path):
    import keras

    path = tmp_path / "model.keras"
    models.save_keras_with_own_class(path, layers=40)
    error = raised(keras.saving.load_model, path, compile=False)
    assert len(str(error)) > 10 * MAX_CHARS
    words = own_words(error)
    assert "Could not locate class 'Twice'" in words
    assert "config={...}" in words


def test_tensorflow_reason_of_a_step_in_python_comes_without_its_traceback():
    import tensorflow as tf

    def refuse(x):
        raise ValueError("this row\ncannot be used")

    function = tf.function(lambda x: tf.py_function(refuse, [x], tf.float32))
    words = own_words(raised(function, tf.zeros(2)))
    assert "ValueError: this row cannot be used" in words
    assert "File " not in words
    assert "Traceback" not in words
    assert "refuse" not in words
