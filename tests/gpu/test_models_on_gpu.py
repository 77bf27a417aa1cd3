"""Models on a real GPU, of the frameworks that are installed. `make test-gpu` runs this.

Of each case of the conformance suite, the CPU says what is right; the backends' own tests say that
of the CPU.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from pipeline.backends.base import LoadContext
from pipeline.batch.batch import Batch
from pipeline.serving.merging import MergingServable
from pipeline.serving.opening import Opening, free
from pipeline.serving.step.model_step import ModelStep
from tests.backends.cases import CASES
from tests.support import models
from tests.support.specs import load, model_spec

_NEEDS = {
    "torch": ("torch",),
    "onnx": ("onnxruntime", "onnx"),
    "tensorflow": ("tensorflow",),
    "transformers": ("transformers", "PIL"),
    "xgboost": ("xgboost",),
}
ON_GPU = [case for case in CASES if all(map(find_spec, _NEEDS.get(case.framework, ("none",))))]
on_gpu = pytest.mark.parametrize("case", ON_GPU, ids=str)
GIB = 2**30
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _gpu():
    assert torch.cuda.is_available(), "these tests need a GPU that PyTorch finds"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Case -> its artifact."""
    return {case.name: case.build(tmp_path_factory.mktemp(case.name)) for case in ON_GPU}


def agree(found, expected, tolerance=1e-3):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance)


@on_gpu
@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_gpu_computes_what_the_cpu_computes(case, device, built):
    there = load(built[case.name], case.spec(device=device), device=device)
    assert there.device == "cuda:0"
    here = case.load(built[case.name])
    for count in (1, 5, 257):
        inputs = case.rows(count)
        agree(there.predict(inputs), here.predict(inputs))


@on_gpu
def test_threads_get_their_own_rows_whatever_else_is_on_its_way(case, built):
    context = LoadContext("gpu", shared=True, call_rows=16)
    servable = Opening(built[case.name], case.spec(), context)()
    assert isinstance(servable, MergingServable)
    inputs = [case.rows(3 + i, seed=i) for i in range(8)]
    expected = [case.load(built[case.name]).predict(each) for each in inputs]
    start = Barrier(8)

    def compute(i):
        start.wait(timeout=60)
        return [servable.predict(inputs[i]) for _ in range(40)]

    with ThreadPoolExecutor(8) as threads:
        for i, results in enumerate(threads.map(compute, range(8))):
            for result in results:
                agree(result, expected[i])


HALVED = [case for case in ON_GPU if case.framework in ("torch", "transformers")]


@pytest.mark.parametrize(
    "case", [case for case in HALVED if not case.name.startswith("torch-export")], ids=str
)
def test_half_precision_loses_no_more_than_the_gate_forgives(case, built):
    halved = load(built[case.name], case.spec(precision="half"), device="gpu")
    whole = load(built[case.name], case.spec(), device="gpu")
    assert halved.size_bytes < whole.size_bytes
    inputs = case.rows(64)
    agree(halved.predict(inputs), whole.predict(inputs), tolerance=2e-2)


def torch_spreading(folder, columns):
    """A network that needs 4 * `columns` bytes for a row, and returns one number."""
    from tests.support.networks import Spread

    path = models.save_torchscript(torch.jit.script(Spread(columns)), folder / "model.pt")
    return path, model_spec(framework="torch", inputs={"x": "x"}, outputs={"output_0": "y"})


def onnx_spreading(folder, columns):
    """The same in parts, all of which are there before one is used: cuDNN takes none so large."""
    parts = 128
    names = [str(i) for i in range(parts)]
    factors = {f"factor_{i}": np.array([i == "0"], "float32") for i in names}
    nodes = [
        *(("Mul", ["x", f"factor_{i}"], [f"x_{i}"], {}) for i in names),
        *(("Expand", [f"x_{i}", "shape"], [f"wide_{i}"], {}) for i in names),
        ("Sum", [f"wide_{i}" for i in names], ["wide"], {}),
        ("ReduceMax", ["wide", "axes"], ["y"], {}),
    ]
    path = models.save_onnx(
        folder / "model.onnx",
        nodes,
        {"x": ("float32", ["rows", 1])},
        {"y": ("float32", ["rows", 1])},
        {"shape": np.array([1, columns // parts]), "axes": np.array([1]), **factors},
    )
    return path, model_spec(framework="onnx", inputs={"x": "x"}, outputs={"y": "y"})


SPREADING = [torch_spreading, *([onnx_spreading] if find_spec("onnxruntime") else [])]


@pytest.mark.parametrize("build", SPREADING)
def test_batch_that_does_not_fit_into_the_gpu_is_halved_and_loses_no_row(build, tmp_path):
    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info()
    path, spec = build(tmp_path, columns=free_bytes // 4 // 24)  # so 24 rows are all there is
    servable = load(path, spec, device="gpu")
    assert servable.device == "cuda:0"
    column = np.arange(64, dtype="float32").reshape(-1, 1)
    batch = Batch(ids=tuple(range(64)), payloads=(b"",) * 64, columns={"x": column})
    step = ModelStep(spec)
    for _ in range(2):
        done = step.run(batch, servable)
        assert done.rejects == ()
        assert done.columns["y"].ravel().tolist() == list(range(64))
    del servable
    torch.cuda.empty_cache()


LOOK_UP_TWO = """
import sys
from pathlib import Path
import numpy as np
from pipeline.errors import ProcessLostError
from tests.support.specs import load, model_spec

spec = model_spec(framework="torch", inputs={"x": "x"}, outputs={"output_0": "y"})
servable = load(Path(sys.argv[1]), spec, device="gpu")
servable.predict({"x": np.array([[1]])})
try:
    servable.predict({"x": np.array([[99]])})
except ProcessLostError as error:
    print(error, flush=True)
servable.predict({"x": np.array([[1]])})
print("still there")
"""


def test_process_whose_gpu_is_lost_blames_no_row_and_gives_way_to_another(tmp_path):
    from tests.support.networks import LooksUp

    path = models.save_torchscript(torch.jit.script(LooksUp(10)), tmp_path / "model.pt")
    command = [sys.executable, "-c", LOOK_UP_TWO, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith(
        "the GPU is lost to this process: CUDA error: device-side assert triggered; a value out of"
    ), done.stderr
    assert "still there" not in done.stdout
    assert done.returncode == 1
    assert "this process ends: its GPU is lost, CUDA error: device-side assert" in done.stderr


def test_closed_network_leaves_its_memory_to_the_next(tmp_path):
    network = torch.nn.Linear(16_384, 16_384, bias=False)  # 1 GiB
    torch.save(network.state_dict(), tmp_path / "model.pt")
    size = {"in_features": 16_384, "out_features": 16_384, "bias": False}
    entry = {"module": "torch.nn.Linear", "module_args": size}
    names = {"inputs": {"input": "x"}, "outputs": {"output_0": "y"}}
    spec = model_spec(framework="torch", **entry, **names)
    opening = Opening(tmp_path / "model.pt", spec, LoadContext("gpu", shared=True))
    rows = {"input": np.ones((2, 16_384), "float32")}
    before, reserved = torch.cuda.memory_allocated(), []
    for _ in range(4):
        servable = opening()
        servable.predict(rows)
        reserved.append(torch.cuda.memory_reserved())
        going = [servable]
        del servable
        free(going)
        assert torch.cuda.memory_allocated() < before + GIB / 2
    assert reserved[-1] < reserved[0] + GIB / 2
