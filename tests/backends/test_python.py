"""The user's own class as a model."""

import re

import numpy as np
import pytest

from pipeline.batch.columns import Ragged
from pipeline.errors import DeviceError, LoadError, ModelFaultError
from tests.support import models, steps
from tests.support.specs import load, model_spec
from tests.support.steps import Shout


def spec(name, **changes):
    entry = {"inputs": {"x": "pixels"}, "outputs": {"y": "y"}, "uri": f"tests.support.steps:{name}"}
    return model_spec(framework="python", **{**entry, **changes})


def shout(tmp_path, **changes):
    entry = {"inputs": {"text": "text"}, "outputs": {"shout": "shout"}, **changes}
    return load(tmp_path, spec("Shout", **entry))


def test_lists_and_text_become_columns(tmp_path):
    found = shout(tmp_path).predict({"text": np.array(["a", "b ü"], dtype=object)})["shout"]
    assert found.dtype == object
    assert found.tolist() == ["A!", "B Ü!"]


def test_load_gets_the_path_or_none(tmp_path, monkeypatch):
    paths = []
    monkeypatch.setattr(Shout, "load", lambda step, path: paths.append(path))
    shout(tmp_path, path="somewhere")
    shout(tmp_path)
    assert paths == [tmp_path, None]


def test_close_reaches_the_step(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(Shout, "close", lambda step: closed.append(step))
    shout(tmp_path).close()
    assert len(closed) == 1
    load(models.numpy_weights(tmp_path), spec("Affine", path="w")).close()  # has none


def test_what_other_models_read_cannot_be_changed(tmp_path):
    pixels = np.zeros((2, 4), "float32")
    with pytest.raises(ValueError, match="read-only"):
        load(tmp_path, spec("Overwrites")).predict({"x": pixels})
    assert pixels.flags.writeable
    assert not pixels.any()


@pytest.mark.parametrize("name", ["Keeps", "KeepsRows"])
def test_no_later_call_changes_an_output(name, tmp_path):
    servable = load(tmp_path, spec(name, outputs={"y": "y", "rows": "rows"}))
    first = servable.predict({"x": np.arange(3.0)})
    servable.predict({"x": np.full(3, 7.0)})
    assert {tuple(column.ravel()) for column in first.values()} == {(0, 10, 20)}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            [1, 2],
            "tests.support.steps:Returns.predict returned a list, "
            "expected a mapping with the arrays y",
        ),
        (None, "returned a NoneType, expected a mapping"),
        ({"z": [1], "w": [2]}, "returned no output 'y'; it returned z, w"),
        ({}, "returned no output 'y'; it returned nothing"),
    ],
)
def test_what_is_no_mapping_of_the_outputs_is_a_fault_of_the_model(
    returned, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(steps.Returns, "value", returned)
    with pytest.raises(ModelFaultError, match=re.escape(message)):
        load(tmp_path, spec("Returns")).predict({"x": np.zeros((2, 4), "float32")})


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("tests.nowhere:Affine", "tests.nowhere:Affine cannot be imported: No module named"),
        ("tests.support.steps:Afine", "the module 'tests.support.steps' has no 'Afine'"),
        (
            "tests.support.steps:Wordless",
            "tests.support.steps:Wordless has no method predict; expected a class",
        ),
        (
            "tests.support.steps:function",
            "tests.support.steps:function has no method load and no predict",
        ),
        ("tests.support.steps:NeedsArguments", "NeedsArguments() failed, without arguments: "),
        (
            "tests.support.steps:Unloadable",
            "the class tests.support.steps:Unloadable: no licence for this",
        ),
    ],
)
def test_class_that_cannot_be_used_is_refused_with_the_reason(uri, message, tmp_path):
    with pytest.raises(LoadError, match=re.escape(message)):
        load(tmp_path, spec("", uri=uri))


def test_gpu_cannot_be_asked_for(tmp_path):
    with pytest.raises(DeviceError, match="leave out `device: gpu`"):
        load(tmp_path, spec("Affine", device="gpu"))


def test_blas_of_numpy_keeps_to_the_threads_granted(tmp_path):
    import threadpoolctl

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if is_blas(pool)}

    def is_blas(pool):
        return pool["user_api"] == "blas"

    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        load(models.numpy_weights(tmp_path), spec("Affine", path="w"), threads=2)
        assert threads() == {2}


def returned(value, tmp_path, monkeypatch, names="y"):
    monkeypatch.setattr(steps.Returns, "value", value)
    outputs = {name: name for name in names}
    return load(tmp_path, spec("Returns", outputs=outputs)).predict({"x": np.zeros(3)})


def test_list_of_mappings_has_one_for_each_row(tmp_path):
    names = ("boxes", "names", "count")
    servable = load(tmp_path, spec("Finds", outputs={name: name for name in names}))
    found = servable.predict({"x": np.array([2, 0, 1])})
    assert [row.shape for row in found["boxes"].rows] == [(2, 4), (0, 4), (1, 4)]
    assert [row.tolist() for row in found["names"].rows] == [
        ["thing 0", "thing 1"],
        [],
        ["thing 0"],
    ]
    assert {row.dtype for row in found["names"].rows} == {np.dtype(object)}
    assert found["count"].tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    "rows",
    [
        [np.float32([1, 2]), np.float32([]), np.float32([3])],
        [np.float32([1, 2]), [], [3.0]],
        [[1.0, 2.0], [], [3.0]],
        np.array([[1.0, 2.0], [], [3.0]], dtype=object),
    ],
)
def test_rows_of_different_length_are_a_ragged_column_of_one_dtype(rows, tmp_path, monkeypatch):
    found = returned({"y": rows}, tmp_path, monkeypatch)["y"]
    assert isinstance(found, Ragged)
    assert [row.tolist() for row in found.rows] == [[1, 2], [], [3]]
    assert len({row.dtype for row in found.rows}) == 1


def test_empty_list_is_taken_for_what_the_other_rows_are(tmp_path, monkeypatch):
    rows = [[[1.0, 2.0]], [], [[3.0, 4.0], [5.0, 6.0]]]
    found = returned({"y": rows}, tmp_path, monkeypatch)["y"]
    assert [row.shape for row in found.rows] == [(1, 2), (0, 2), (2, 2)]


def test_lists_of_one_length_are_a_dense_column(tmp_path, monkeypatch):
    found = returned({"y": [[1, 2], [3, 4], [5, 6]]}, tmp_path, monkeypatch)["y"]
    assert found.shape == (3, 2)


def test_row_that_lacks_an_output_is_a_fault_of_the_model(tmp_path, monkeypatch):
    rows = [{"y": 1}, {"z": 1}, {"y": 2}]
    with pytest.raises(ModelFaultError, match="returned no output 'y'; it returned z"):
        returned(rows, tmp_path, monkeypatch)


LARGE = [5, 2**63 + 1, 2**53 + 1, 2**64 - 1]


@pytest.mark.parametrize("as_rows", [True, False])
def test_integers_stay_exact_whatever_rows_come_with_them(as_rows, tmp_path, monkeypatch):
    value = [{"y": number} for number in LARGE] if as_rows else {"y": LARGE}
    assert returned(value, tmp_path, monkeypatch)["y"].tolist() == LARGE


@pytest.mark.parametrize("value", [[{"y": 2**53 + 1}, {"y": 0.5}], {"y": [2**53 + 1, 0.5]}])
def test_number_that_would_be_rounded_among_others_is_refused(value, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="float64, int64, which cannot be joined without loss"):
        returned(value, tmp_path, monkeypatch)


def test_empty_array_without_type_takes_that_of_the_other_rows(tmp_path, monkeypatch):
    rows = [{"y": np.array([])}, {"y": [b"\xff"]}]
    found = returned(rows, tmp_path, monkeypatch)["y"]
    assert {row.dtype for row in found.rows} == {np.dtype(object)}
