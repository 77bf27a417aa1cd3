"""Made-up rows pass through the prepare steps, so models are checked against prepared columns."""

import json

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import ModelError
from pipeline.serving.rehearsal.rehearsal import rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.testing import FakeLoader, FakeServable

IMAGE = [
    {"column": "raw", "op": "decode_image", "of": "file"},
    {"column": "pixels", "op": "resize", "of": "raw", "height": 4, "width": 6},
]


def run(fields, prepare, inputs, signature=None):
    """The rehearsal, and the shapes with which the model was called first."""
    graph = resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {"fields": fields},
                "prepare": prepare,
                "models": [
                    {
                        "name": "net",
                        "framework": "onnx",
                        "uri": "net/1",
                        "inputs": inputs,
                        "outputs": {"y": "scores"},
                    }
                ],
            }
        )
    )
    seen = []

    def compute(arrays):
        seen.append({name: array.shape for name, array in arrays.items()})
        return {"y": np.zeros((len(next(iter(arrays.values()))), 3), np.float32)}

    servable = FakeServable(compute, signature) if signature else FakeServable(compute)
    release = Release(1, (ModelVersion("net", "net/1", "net"),))
    found = rehearse(graph, release, ReleaseManager(FakeLoader(lambda version: servable)))
    return found, seen[:1]


def test_black_images_stand_for_those_that_made_up_bytes_are_not():
    found, seen = run({"file": {"dtype": "bytes"}}, IMAGE, {"x": "pixels"})
    assert seen == [{"x": (3, 4, 6, 3)}]
    assert found.types["raw"] == ("uint8", (None, None, 3))
    assert found.types["pixels"] == ("uint8", (4, 6, 3))


def test_shape_that_cannot_fit_names_model_and_prepare_step():
    takes = Signature(inputs=(TensorSpec("x", "float32", (None, 3, 4, 6)),))
    with pytest.raises(ModelError) as error:
        run({"file": {"dtype": "bytes"}}, IMAGE, {"x": "pixels"}, takes)
    assert error.value.problems == (
        "model 'net' input 'x' takes float32[3, 4, 6], but column 'pixels' of prepare step "
        "'pixels' is uint8[4, 6, 3]",
    )


def test_steps_that_refuse_made_up_text_are_stood_in_for_by_their_type():
    found, seen = run(
        {"age": {"dtype": "string"}, "city": {"dtype": "string"}},
        [
            {"column": "years", "op": "cast", "of": "age", "dtype": "float32"},
            {"column": "hot", "op": "one_hot", "of": "city", "labels": ["oslo", "rome"]},
        ],
        {"a": "years", "b": "hot"},
    )
    assert seen == [{"a": (3,), "b": (3, 2)}]
    assert found.types["years"] == ("float32", ())


def test_length_that_varies_stays_so_although_made_up_rows_agree():
    vocabulary = {"[UNK]": 0, "good": 1}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }
    found, seen = run(
        {"text": {"dtype": "string"}},
        [{"column": "ids", "op": "tokenize", "of": "text", "tokenizer": json.dumps(tokenizer)}],
        {"ids": "ids"},
    )
    assert found.types["ids"] == ("int64", (None,))
    assert seen[0]["ids"][1] > 0  # empty text has no tokens, which no model should be tried with
