from pathlib import Path

import numpy as np
import pytest

from pipeline.batch.columns import Ragged
from pipeline.errors import LoadError
from tests.support import models
from tests.support.specs import load, model_spec

PIXELS = {"x": "pixels"}


def spec(*outputs, **changes):
    entry = {"inputs": PIXELS, "outputs": {output: output for output in outputs}}
    return model_spec(framework="onnx", **{**entry, **changes})


def test_text_goes_in_and_comes_out_as_str(tmp_path):
    servable = load(models.onnx_text(tmp_path), spec("shout", inputs={"s": "text"}))
    texts = np.array(["hi", "", "ünï\0code", "as bytes: ü".encode()], dtype=object)
    found = servable.predict({"s": texts})["shout"]
    assert found.tolist() == ["hi!", "!", "ünï\0code!", "as bytes: ü!"]
    assert [t.dtype for t in servable.signature.inputs] == ["string"]


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "uint8", "bool"])
def test_dtypes_pass_through(dtype, tmp_path):
    path = models.save_onnx(
        tmp_path / "model.onnx",
        [("Identity", ["x"], ["y"], {})],
        {"x": (dtype, ["rows", 2])},
        {"y": (dtype, ["rows", 2])},
    )
    servable = load(path, spec("y"))
    rows = np.array([[0, 1], [1, 0], [1, 1]], dtype)
    found = servable.predict({"x": rows})["y"]
    assert found.dtype == rows.dtype
    np.testing.assert_array_equal(found, rows)
    assert servable.signature.outputs[0].dtype == dtype


def test_constant_of_a_dtype_that_fits_is_cast_to_the_declared_one(tmp_path):
    inputs = {"a": "left", "b": "right", "gain": {"value": 3, "dtype": "int32"}}
    servable = load(models.onnx_pair(tmp_path), spec("total", inputs=inputs))
    ones = np.ones((2, 4), "float32")
    found = servable.predict({"a": ones, "b": ones, "gain": np.array(3, "int32")})["total"]
    assert found.tolist() == [[6.0] * 4] * 2


def test_symbolic_axes_vary_and_a_fixed_first_axis_fixes_the_rows(tmp_path):
    path = models.save_onnx(
        tmp_path / "free.onnx",
        [("Identity", ["x"], ["y"], {})],
        {"x": ("float32", ["rows", "length", 3])},
        {"y": ("float32", ["rows", "length", 3])},
    )
    free = load(path, spec("y")).signature
    assert free.inputs[0].row_shape == (None, 3)
    assert free.fixed_batch_rows is None
    fixed = load(models.onnx_file(tmp_path / "fixed", rows=8), spec("y")).signature
    assert fixed.fixed_batch_rows == 8


def product(folder):
    """``x`` float32 [rows, 4] times ``W`` float32 [4, 2]."""
    return models.save_onnx(
        folder / "model.onnx",
        [("MatMul", ["x", "W"], ["y"], {})],
        {"x": ("float32", ["rows", 4]), "W": ("float32", [4, 2])},
        {"y": ("float32", ["rows", 2])},
    )


def test_axes_of_a_constant_fix_no_rows(tmp_path):
    weights = {"value": np.ones((4, 2)).tolist(), "dtype": "float32"}
    servable = load(product(tmp_path), spec("y", inputs={**PIXELS, "W": weights}))
    assert servable.signature.fixed_batch_rows is None


def test_columns_bound_to_different_fixed_numbers_of_rows_are_refused(tmp_path):
    path = models.save_onnx(
        tmp_path / "model.onnx",
        [("MatMul", ["x", "W"], ["y"], {})],
        {"x": ("float32", [1, 4]), "W": ("float32", [4, 2])},
        {"y": ("float32", [1, 2])},
    )
    with pytest.raises(LoadError, match=r"'x' 1, 'W' 4\).*may be a constant"):
        load(path, spec("y", inputs={**PIXELS, "W": "weights"}))


def test_graph_that_takes_no_rows_is_refused(tmp_path):
    path = models.save_onnx(
        tmp_path / "model.onnx",
        [("Identity", ["x"], ["y"], {})],
        {"x": ("float32", [0, 4])},
        {"y": ("float32", [0, 4])},
    )
    with pytest.raises(LoadError, match=r"takes no rows at all.*\(x\) is 0"):
        load(path, spec("y", inputs=PIXELS))


def test_input_with_a_default_need_not_be_bound(tmp_path):
    path = models.save_onnx(
        tmp_path / "model.onnx",
        [("Mul", ["x", "gain"], ["y"], {})],
        {"x": ("float32", ["rows"]), "gain": ("float32", [1])},
        {"y": ("float32", ["rows"])},
        {"gain": np.float32([2])},
    )
    rows = np.ones(3, "float32")
    assert load(path, spec("y")).predict({"x": rows})["y"].tolist() == [2, 2, 2]
    bound = spec("y", inputs={**PIXELS, "gain": {"value": [5], "dtype": "float32"}})
    feeds = {"x": rows, "gain": np.float32([5])}
    assert load(path, bound).predict(feeds)["y"].tolist() == [5, 5, 5]


def with_output(path, node, output, domain=""):
    """The graph at a path with one node more, whose output has a type of its own."""
    import onnx
    from onnx import helper

    model = onnx.load(path)
    model.graph.node.append(node)
    model.graph.output.append(output)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 3))
    onnx.save(model, path)
    return path


def negated(folder):
    tensors = {"x": ("float32", ["rows", 2])}, {"y": ("float32", ["rows", 2])}
    return models.save_onnx(folder / "model.onnx", [("Neg", ["x"], ["y"], {})], *tensors)


@pytest.mark.parametrize(
    ("labels", "kind"), [({"int64s": [3, 1]}, "INT64"), ({"strings": ["no", "an"]}, "STRING")]
)
def test_map_of_probabilities_becomes_their_column_and_that_of_the_labels(tmp_path, labels, kind):
    from onnx import TensorProto, helper

    ((suffix, names),) = labels.items()
    domain = "ai.onnx.ml"
    options = {"domain": domain, f"classlabels_{suffix}": names}
    node = helper.make_node("ZipMap", ["x"], ["maps"], **options)
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    row = helper.make_map_type_proto(getattr(TensorProto, kind), number)
    output = helper.make_value_info("maps", helper.make_sequence_type_proto(row))
    path = with_output(negated(tmp_path), node, output, domain)
    rows = np.float32([[0.25, 0.75], [1, 0]])
    servable = load(path, spec("maps", "maps.labels", "y"))
    found = servable.predict({"x": rows})
    order = np.argsort(names)  # a map is sorted by its keys
    np.testing.assert_array_equal(found["maps"], rows[:, order])
    assert found["maps"].dtype == np.float32
    assert found["maps.labels"].tolist() == [sorted(names)] * 2
    np.testing.assert_array_equal(found["y"], -rows)
    alone = load(path, spec("maps.labels")).predict({"x": rows[:1]})
    assert alone["maps.labels"].tolist() == [sorted(names)]
    declared = {t.name: t.dtype for t in servable.signature.outputs}
    assert declared["maps.labels"] == {"INT64": "int64", "STRING": "string"}[kind]


def test_output_that_is_no_tensor_is_refused(tmp_path):
    from onnx import TensorProto, helper

    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    node = helper.make_node("Optional", ["x"], ["perhaps"])
    path = with_output(negated(tmp_path), node, helper.make_value_info("perhaps", kind))
    with pytest.raises(LoadError, match=r"'perhaps' is a optional\(.*, which cannot be a column"):
        load(path, spec("perhaps"))
    assert load(path, spec("y")).predict({"x": np.float32([[1, 2]])})["y"].tolist() == [[-1, -2]]


def test_sequence_has_one_tensor_for_each_row(tmp_path):
    import onnx
    from onnx import helper

    path = models.save_onnx(
        tmp_path / "model.onnx",
        [("SplitToSequence", ["x", "sizes"], ["pieces"], {"axis": 0})],
        {"x": ("int64", ["rows"]), "sizes": ("int64", ["rows"])},
        {},
    )
    model = onnx.load(path)
    found = helper.make_tensor_sequence_value_info("pieces", onnx.TensorProto.INT64, None)
    model.graph.output.append(found)
    onnx.save(model, path)
    inputs = {"x": "x", "sizes": "sizes"}
    servable = load(path, spec("pieces", inputs=inputs))
    column = servable.predict({"x": np.arange(3), "sizes": np.array([1, 2, 0])})["pieces"]
    assert isinstance(column, Ragged)
    assert [row.tolist() for row in column.rows] == [[0], [1, 2], []]


def test_missing_external_data_is_named(tmp_path):
    folder = models.onnx_external_data(tmp_path)
    (folder / "weights.bin").unlink()
    with pytest.raises(
        LoadError, match=r"model\.onnx keeps .* in 'weights\.bin', which is missing"
    ):
        load(folder, spec("y"))


def test_graph_of_a_newer_format_is_refused_in_the_runtimes_words(tmp_path):
    import onnx

    path = models.onnx_file(tmp_path)
    model = onnx.load(path)
    model.ir_version = 99
    onnx.save(model, path)
    with pytest.raises(LoadError, match="Unsupported model IR version: 99"):
        load(path, spec("y"))


def running_threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def test_a_session_gets_the_threads_that_it_is_granted(tmp_path):
    path = models.onnx_file(tmp_path)
    before = running_threads()
    one = load(path, spec("y"), threads=1)
    assert running_threads() == before
    three = load(path, spec("y"), threads=3)
    assert running_threads() == before + 2  # the calling thread works too
    del one, three


def test_graph_is_optimised_at_all_levels(tmp_path, monkeypatch):
    import onnxruntime

    levels = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, file, options, **more):
            levels.append(options.graph_optimization_level)
            super().__init__(file, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    load(models.onnx_file(tmp_path), spec("y"))
    assert levels == [onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL]
