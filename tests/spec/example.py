"""An ensemble file that is right, for tests to change."""

import pytest

from pipeline.errors import SpecError
from pipeline.spec.text import parse

DIGITS = """\
name: digits
record:
  id: id
  fields:
    pixels: {dtype: float32, shape: [64]}
    words: {dtype: string, shape: [null]}
models:
  - name: forest
    framework: sklearn
    uri: models/forest/1
    inputs: {X: pixels}
    outputs: {predict_proba: forest_proba}
    trusted: true
  - name: mlp
    framework: onnx
    uri: gs://bucket/mlp/1/model.onnx
    inputs:
      x: {column: pixels, pad_value: 0}
      rate: {value: 16000, dtype: int64}
    outputs: {probs: mlp_proba}
    max_batch_size: 1024
combine:
  - {column: proba, op: weighted_mean, of: [forest_proba, mlp_proba], weights: [1, 2]}
  - {column: digit, op: argmax, of: proba}
  - {column: label, op: lookup, of: digit, labels: [zero, one]}
  - {column: spread, op: max, of: [forest_proba, mlp_proba]}
output: [label, proba]
pass_through: [source]
"""


def changed(*changes):
    text = DIGITS
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


def problems(text):
    with pytest.raises(SpecError) as caught:
        parse(text, source="e.yaml")
    return list(caught.value.problems)
