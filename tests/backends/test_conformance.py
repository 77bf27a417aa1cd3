"""The same checks over every framework and format: what the layers above rely on."""

import gc
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from pipeline.backends.base import CUT_TEXTS
from pipeline.errors import DeviceError, LoadError
from pipeline.spec.model import ConstantInput
from tests.backends.cases import AFFINE, CASES, PAIRS, load

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_affine = pytest.mark.parametrize("case", AFFINE, ids=str)
every_pair = pytest.mark.parametrize("case", PAIRS, ids=str)
listing_outputs = pytest.mark.parametrize(
    "case", [case for case in CASES if "outputs" in case.listed], ids=str
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Case -> its artifact, built once."""
    return {case.name: case.build(tmp_path_factory.mktemp(case.name)) for case in CASES}


@pytest.fixture(scope="module")
def servables(paths):
    """Case -> its artifact, loaded once; what only a loader holds on to is gone by then."""
    loaded = {case.name: case.load(paths[case.name]) for case in CASES}
    gc.collect()
    return loaded


def agree(found, expected):
    assert {*found} - {CUT_TEXTS} == {*expected} - {CUT_TEXTS}
    for name in {*expected} - {CUT_TEXTS}:
        array = expected[name]
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


@every_case
def test_predicts_what_the_framework_itself_predicts(case, paths, servables):
    inputs = case.rows(5)
    agree(servables[case.name].predict(inputs), case.reference(paths[case.name], inputs))


@every_case
def test_signature_says_what_the_format_says(case, servables):
    signature = servables[case.name].signature
    assert (signature.outputs is not None) == ("outputs" in case.listed)
    assert (signature.inputs is not None) == ("inputs" in case.listed)
    tensors = {t.name: t for t in (*(signature.inputs or ()), *(signature.outputs or ()))}
    names = [name for listed in case.listed for name in getattr(case, listed)]
    assert set(tensors) >= set(names)
    constants = {n for n, b in case.spec().inputs.items() if isinstance(b, ConstantInput)}
    for name in names:
        tensor = tensors[name]
        assert tensor.dtype == case.dtypes.get(name)
        shape = tensor.dims if name in constants else tensor.row_shape
        assert shape == case.row_shapes.get(name)
    assert signature.fixed_batch_rows is None


@every_case
def test_a_row_does_not_depend_on_its_batch(case, servables):
    servable, constants = servables[case.name], set(case.inputs) - _columns(case)
    many = case.rows(257)
    whole = servable.predict(many)
    for row in (0, 128, 256):
        one = {n: a if n in constants else a[row : row + 1] for n, a in many.items()}
        agree(servable.predict(one), {n: a[row : row + 1] for n, a in whole.items()})


def _columns(case):
    return {name for name, binding in case.inputs.items() if isinstance(binding, str)}


@every_case
def test_four_threads_compute_what_one_computes(case, servables):
    servable, start = servables[case.name], Barrier(4)
    inputs = [case.rows(20 + i, seed=i) for i in range(4)]
    expected = [servable.predict(each) for each in inputs]

    def compute(i):
        start.wait(timeout=30)
        return [servable.predict(inputs[i]) for _ in range(10)]

    with ThreadPoolExecutor(4) as threads:
        for i, results in enumerate(threads.map(compute, range(4))):
            for result in results:
                agree(result, expected[i])


@every_case
def test_takes_read_only_and_strided_arrays_and_leaves_them_alone(case, servables):
    inputs, strided = case.rows(6), {}
    expected = servables[case.name].predict(inputs)
    for name, array in inputs.items():
        strided[name] = array if array.ndim == 0 else np.repeat(array, 2, axis=0)[::2]
        strided[name].flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(servables[case.name].predict(strided), expected)
    for name, array in inputs.items():
        np.testing.assert_array_equal(strided[name], array)


@every_case
def test_two_versions_compute_different_outputs(case, servables, tmp_path):
    second = case.load(case.build(tmp_path, scale=2.0))
    inputs = case.rows(3)
    doubled = {name: 2 * array for name, array in servables[case.name].predict(inputs).items()}
    agree(second.predict(inputs), doubled)


@every_case
def test_reports_the_device_and_its_size(case, servables):
    assert servables[case.name].device == "cpu"
    assert 4 <= servables[case.name].size_bytes < 100_000


@every_case
def test_gpu_is_refused_where_there_is_none(case, paths):
    with pytest.raises(DeviceError, match=r"GPU|CUDA"):
        load(paths[case.name], case.spec(device="gpu"), device="gpu")


@every_case
def test_auto_takes_the_cpu_where_there_is_no_gpu(case, paths):
    assert case.load(paths[case.name], device="auto").device == "cpu"


@every_case
def test_a_folder_with_the_one_file_is_as_good_as_the_file(case, paths, servables):
    path = paths[case.name]
    from_folder = case.load(path if path.is_dir() else path.parent)
    inputs = case.rows(2)
    agree(from_folder.predict(inputs), servables[case.name].predict(inputs))


@every_pair
def test_returns_only_the_outputs_that_the_spec_names(case, paths, servables):
    name = case.outputs[1]
    inputs = case.rows(4)
    only = case.load(paths[case.name], outputs={name: "column"}).predict(inputs)
    agree(only, {name: servables[case.name].predict(inputs)[name]})


@listing_outputs
def test_unknown_output_is_refused_at_load_with_those_that_exist(case, paths):
    with pytest.raises(LoadError, match="has no output 'nowhere'; its outputs are") as refusal:
        case.load(paths[case.name], outputs={"nowhere": "column"})
    assert all(name in str(refusal.value) for name in case.outputs)
    assert str(paths[case.name]) in str(refusal.value)


@every_pair
def test_unknown_input_is_refused_at_load_with_those_that_exist(case, paths):
    with pytest.raises(LoadError, match="has no input 'nowhere'; its inputs are a, b"):
        case.load(paths[case.name], inputs={**case.inputs, "nowhere": "column"})


@every_pair
def test_unbound_input_is_refused_at_load(case, paths):
    bound = {name: binding for name, binding in case.inputs.items() if name != "b"}
    with pytest.raises(LoadError, match="needs input 'b', which `inputs` does not bind"):
        case.load(paths[case.name], inputs=bound)


BREAKAGES = {
    "cut-off": lambda content: content[: len(content) // 2],
    "random": lambda content: np.random.default_rng(0).bytes(len(content)),
    "empty": lambda content: b"",
}


@every_affine
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_file_is_named(case, breakage, tmp_path):
    path = case.build(tmp_path / "model")
    broken = path / case.file
    broken.write_bytes(BREAKAGES[breakage](broken.read_bytes()))
    with pytest.raises(LoadError) as failure:
        case.load(path)
    assert str(path) in str(failure.value)
    assert "\n" not in str(failure.value)
    own = case.framework == "python"  # whose class reads its files, and says what it wants
    assert own or breakage != "empty" or str(failure.value).endswith(" is empty")


@every_affine
def test_empty_folder_and_missing_path_are_named(case, tmp_path):
    if case.framework == "python":
        with pytest.raises(LoadError, match=re.escape(str(tmp_path))):
            case.load(tmp_path)
        return
    expected = "expected a folder" if case.framework == "transformers" else "exactly one model file"
    with pytest.raises(LoadError, match=rf"(?=.*{expected}).*it holds nothing"):
        case.load(tmp_path)
    with pytest.raises(LoadError, match="nowhere does not exist"):
        case.load(tmp_path / "nowhere")
