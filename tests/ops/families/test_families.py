"""The lines of examples/images/README.md give what each family's own preprocessing gives."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from pipeline.ops.step import apply
from pipeline.spec.prepare import AnyPrepare
from tests.ops.families.make import BOXES, FAMILIES, SMALL

README = Path(__file__).parents[3] / "examples" / "images" / "README.md"
ARRAYS = np.load(Path(__file__).with_name("arrays.npz"))
STEP = TypeAdapter(AnyPrepare)


def table():
    """Family -> its lines, and the largest difference, as the document has them."""
    rows = re.findall(
        r"^\| (.+?) \| (`\{.+\}`) \| ([\d.e-]+) \|$", README.read_text(), re.MULTILINE
    )
    return {
        family: ([yaml.safe_load(line) for line in re.findall(r"`(\{.+?\})`", cell)], float(most))
        for family, cell, most in rows
    }


def compute(lines, pixels):
    column = pixels[np.newaxis]
    for keys in lines:
        sizes = {k: SMALL.get(v, v) for k, v in keys.items() if k in ("height", "width", "size")}
        step = STEP.validate_python({"column": "x", "of": "x", **keys, **sizes})
        column = apply(step, {"x": column})["x"]
    return column[0]


def difference(lines, family):
    worst = 0.0
    for picture in BOXES:
        made, expected = compute(lines, ARRAYS[picture]), ARRAYS[f"{family}/{picture}"]
        assert made.shape == expected.shape
        assert made.dtype == expected.dtype
        worst = max(worst, float(np.abs(made.astype(np.float64) - expected).max()))
    return worst


def test_the_document_has_every_family():
    assert list(table()) == list(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_lines_of_the_document_prepare_pictures_as_the_family_does(family):
    lines, most = table()[family]
    assert difference(lines, family) <= most


@pytest.mark.parametrize(
    ("method", "most"), [("bilinear", 1e-4), ("nearest", 0), ("bicubic", 1e-4), ("area", 1e-4)]
)
def test_without_antialiasing_every_method_is_that_of_tensorflow(method, most):
    line = {"op": "resize", "height": 224, "width": 299, "method": method, "antialias": False}
    assert difference([line], f"tf.image.resize {method}") <= most
