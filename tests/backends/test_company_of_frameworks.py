"""Real networks whose rows depend on each other are refused; those whose rows do not are not."""

import numpy as np
import pytest
import torch

from pipeline.backends.base import LoadContext
from pipeline.batch.release import ModelVersion, Release
from pipeline.serving.opening import Opening
from pipeline.serving.rehearsal.rehearsal import attempt
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support import models, networks
from tests.support.specs import model_spec


def scripted(network, folder):
    return models.save_torchscript(torch.jit.script(network.eval()), folder / "model.pt")


def exported(network, folder):
    return models.save_exported(network, {"x": (None, 4)}, folder / "model.pt2")


def onnx(node, folder, **weights):
    return models.save_onnx(
        folder / "model.onnx",
        [(node[0], ["x", *weights], ["y"], node[1])],
        {"x": ("float32", ["rows", 4])},
        {"y": ("float32", ["rows", 4])},
        weights,
    )


def problems(path, dtype="float32", shape=(4,), **more):
    """What the rehearsal has to say of a model, as a job opens it."""
    framework = "onnx" if path.suffix == ".onnx" else "torch"
    outputs = {"y" if framework == "onnx" else "output_0": "y"}
    data = {
        "name": "e",
        "record": {"fields": {"x": {"dtype": dtype, "shape": list(shape)}}},
        "models": [
            {
                "name": "m",
                "framework": framework,
                "uri": str(path),
                "inputs": {"x": "x"},
                "outputs": outputs,
                **more,
            }
        ],
    }
    graph = resolve(EnsembleSpec.model_validate(data))
    servable = Opening(path, graph.models[0], LoadContext("cpu"))()
    release = Release(1, (ModelVersion("m", str(path), "digest"),))
    manager = ReleaseManager(lambda version: servable)
    try:
        return attempt(graph, release, manager)[1]
    finally:
        manager.close()


@pytest.mark.parametrize(
    ("build", "differs"),
    [
        (lambda folder: exported(networks.Normalises().train(), folder), " alone"),
        (lambda folder: scripted(networks.AlwaysDrops(), folder), " again"),
        (lambda folder: scripted(networks.Remembers(), folder), " again"),
        (lambda folder: onnx(("Softmax", {"axis": 0}), folder), " alone"),
        (lambda folder: onnx(("RandomNormalLike", {}), folder), " again"),
    ],
    ids=["training mode", "dropout", "state", "softmax over the rows", "random numbers"],
)
def test_rows_that_depend_on_each_other_are_refused(build, differs, tmp_path):
    path = build(tmp_path)
    (problem,) = problems(path)
    assert problem.startswith("model 'm' gives rows other outputs in other company: output ")
    assert differs in problem
    assert "set `independent_rows: false` on the model" in problem
    assert problems(path, independent_rows=False) == []


def test_network_that_is_quantised_for_a_whole_call_gets_each_row_alone_if_told_so(tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    weights = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    whole = onnx(("MatMul", {}), tmp_path, w=weights)
    quantize_dynamic(whole, tmp_path / "quantised.onnx")
    assert problems(whole) == []
    (problem,) = problems(tmp_path / "quantised.onnx")
    assert "quantised dynamically" in problem
    assert "`max_batch_size: 1`" in problem
    assert problems(tmp_path / "quantised.onnx", max_batch_size=1) == []


def test_network_whose_first_axis_is_time_is_refused(tmp_path):
    (problem,) = problems(scripted(networks.AlongTime(), tmp_path), shape=(5, 4))
    assert " alone" in problem
    assert " in another order" in problem


@pytest.mark.parametrize(
    "build",
    [
        lambda folder: exported(networks.Normalises().eval(), folder),
        lambda folder: scripted(networks.Normalises(), folder),
        lambda folder: onnx(("Softmax", {"axis": 1}), folder),
        models.torchscript_pair,
    ],
    ids=["exported", "scripted", "softmax over the columns", "pair"],
)
def test_rows_that_do_not_are_not(build, tmp_path):
    if build is models.torchscript_pair:
        gain = {"value": 2.0, "dtype": "float32"}
        assert problems(build(tmp_path), inputs={"a": "x", "b": "x", "gain": gain}) == []
    else:
        assert problems(build(tmp_path)) == []


@pytest.mark.parametrize("words", [1, 2, 30_000])
def test_vocabulary_of_any_size_is_met_by_made_up_indices(words, tmp_path):
    path = scripted(networks.LooksUp(words), tmp_path)
    assert problems(path, dtype="int64", shape=(7,)) == []


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_network_that_loses_the_axis_of_a_single_row_gives_each_row_what_torch_does(rows, tmp_path):
    torch.manual_seed(0)
    network = networks.Squeezes()
    path = scripted(network, tmp_path)
    assert problems(path) == []
    spec = EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [
                {
                    "name": "m",
                    "framework": "torch",
                    "uri": str(path),
                    "inputs": {"x": "x"},
                    "outputs": {"output_0": "y"},
                }
            ],
        }
    ).models[0]
    x = np.random.default_rng(1).normal(size=(rows, 4)).astype(np.float32)
    servable = Opening(path, spec, LoadContext("cpu"))()
    found = ModelStep(spec).compute({"x": x}, np.arange(rows), servable)["output_0"]
    with torch.no_grad():
        wanted = network.layer(torch.tensor(x)).numpy()[:, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_weights_in_half_precision_are_known_from_the_file(tmp_path):
    spec = EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [
                {
                    "name": "m",
                    "framework": "onnx",
                    "uri": "m",
                    "inputs": {"x": "x"},
                    "outputs": {"y": "y"},
                }
            ],
        }
    ).models[0]
    for dtype, half in (("float16", True), ("float32", False)):
        path = models.save_onnx(
            tmp_path / dtype / "model.onnx",
            [
                ("Cast", ["k"], ["wide"], {"to": 1}),
                ("Mul", ["x", "wide"], ["y"], {}),
            ],
            {"x": ("float32", ["rows", 4])},
            {"y": ("float32", ["rows", 4])},
            {"k": np.ones(4, dtype)},
        )
        assert Opening(path, spec, LoadContext("cpu", shared=True))().half_inside == half


@pytest.mark.parametrize(("dtype", "half"), [(torch.bfloat16, True), (torch.float32, False)])
def test_weights_of_a_network_in_half_precision_are_known(dtype, half, tmp_path):
    network = networks.Normalises().to(dtype)
    path = models.save_torchscript(torch.jit.script(network.eval()), tmp_path / "model.pt")
    entry = {"framework": "torch", "inputs": {"x": "x"}, "outputs": {"output_0": "y"}}
    assert Opening(path, model_spec(**entry), LoadContext("cpu"))().half_inside == half
