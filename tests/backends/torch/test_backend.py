import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from pipeline.batch.columns import Ragged
from pipeline.errors import InferenceError, LoadError, ModelFaultError, UntrustedArtifactError
from tests.support import models
from tests.support.specs import load, model_spec

LINEAR = {"module": "torch.nn.Linear", "module_args": {"in_features": 4, "out_features": 3}}
PAIR = {"a": "left", "b": "right"}
ONES = np.ones((3, 4), "float32")


def spec(*outputs, **changes):
    entry = {"inputs": {"input": "pixels"}, "outputs": {output: output for output in outputs}}
    return model_spec(framework="torch", **{**entry, **changes})


def save_scripted(network, folder):
    import torch

    return models.save_torchscript(torch.jit.script(network), folder / "model.pt")


def save_state_dict(network, folder):
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


@pytest.mark.parametrize(
    ("build", "extra"),
    [(models.torchscript, {}), (models.torch_export, {}), (models.torch_state_dict, LINEAR)],
)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ts", ".pt2"])
def test_format_is_told_by_content_whatever_the_suffix(build, extra, suffix, tmp_path):
    path = shutil.move(build(tmp_path), tmp_path / f"renamed{suffix}")
    found = load(path, spec("output_0", **extra)).predict({"input": ONES})["output_0"]
    weights, bias = models.affine_weights()
    np.testing.assert_allclose(found, ONES @ weights + bias, rtol=1e-5)


def test_state_dict_of_an_old_torch_is_read(tmp_path):
    import torch

    path = tmp_path / "model.pt"
    torch.save(models.affine_network().state_dict(), path, _use_new_zipfile_serialization=False)
    assert load(path, spec("output_0", **LINEAR)).predict({"input": ONES})


@pytest.mark.parametrize("method", ["script", "export"])
def test_dict_is_taken_by_its_keys(method, tmp_path):
    from tests.support.networks import ReturnsDict

    if method == "script":
        path = save_scripted(ReturnsDict(), tmp_path)
    else:
        shapes = {"a": (None, 4), "b": (None, 4)}
        path = models.save_exported(ReturnsDict(), shapes, tmp_path / "model.pt2")
    servable = load(path, spec("gap", inputs=PAIR))
    assert (servable.predict({"b": ONES, "a": 3 * ONES})["gap"] == 2).all()


def test_named_tuple_is_taken_by_its_fields(tmp_path):
    from tests.support.networks import ReturnsNamedTuple

    servable = load(save_scripted(ReturnsNamedTuple(), tmp_path), spec("gap", inputs=PAIR))
    assert servable.signature.outputs is None
    assert (servable.predict({"b": ONES, "a": 3 * ONES})["gap"] == 2).all()


def test_output_that_is_not_returned_is_a_fault_of_the_model_with_those_that_are(tmp_path):
    servable = load(models.torch_state_dict(tmp_path), spec("logits", **LINEAR))
    with pytest.raises(ModelFaultError, match="no output 'logits'; it returns output_0"):
        servable.predict({"input": ONES})


def test_network_that_works_in_place_does_not_change_the_column(tmp_path):
    from tests.support.networks import WorksInPlace

    servable = load(save_scripted(WorksInPlace(), tmp_path), spec("output_0", inputs={"x": "c"}))
    column = ONES.copy()
    assert (servable.predict({"x": column})["output_0"] == 2).all()
    np.testing.assert_array_equal(column, ONES)


@pytest.mark.parametrize("name", ["output_0", "output_1"])
def test_no_later_call_changes_an_output_that_the_network_keeps(name, tmp_path):
    from tests.support.networks import KeepsOutput

    servable = load(save_scripted(KeepsOutput(4), tmp_path), spec(name, inputs={"x": "c"}))
    first = servable.predict({"x": ONES})[name]
    servable.predict({"x": 5 * ONES})
    assert (first == 2).all()


@pytest.mark.parametrize("method", ["script", "state dict"])
def test_python_arguments_are_given_as_constants_and_have_their_defaults(method, tmp_path):
    from tests.support.networks import Power

    if method == "script":
        path, extra = save_scripted(Power(), tmp_path), {}
    else:
        path, extra = save_state_dict(Power(), tmp_path), {"module": "tests.support.networks.Power"}
    inputs = {"x": "column", "exponent": {"value": 2, "dtype": "int64"}}
    feeds = {"x": 3 * ONES, "exponent": np.array(2)}
    found = load(path, spec("output_0", inputs=inputs, **extra)).predict(feeds)
    assert (found["output_0"] == 9).all()
    inputs["mode"] = {"value": "negative", "dtype": "string"}
    feeds["mode"] = np.array("negative", dtype=object)
    found = load(path, spec("output_0", inputs=inputs, **extra)).predict(feeds)
    assert (found["output_0"] == -9).all()
    with pytest.raises(LoadError, match="single value for input 'exponent'"):
        load(path, spec("output_0", inputs={"x": "column", "exponent": "column"}, **extra))


def test_column_of_text_is_refused_with_its_input(tmp_path):
    servable = load(models.torchscript(tmp_path), spec("output_0"))
    with pytest.raises(TypeError, match="input 'input' is text"):
        servable.predict({"input": np.array(["a", "b"], dtype=object)})


def test_program_exported_for_so_many_rows_says_so(tmp_path):
    servable = load(models.torch_export(tmp_path, rows=8), spec("output_0"))
    assert servable.signature.fixed_batch_rows == 8
    assert servable.predict({"input": np.ones((8, 4), "float32")})["output_0"].shape == (8, 3)


def test_reason_comes_before_the_stack_of_torchscript(tmp_path):
    servable = load(models.torchscript(tmp_path), spec("output_0"))
    with pytest.raises(InferenceError, match=r"^RuntimeError: mat1 and mat2 shapes.*2x5 and 4x3"):
        servable.predict({"input": np.ones((2, 5), "float32")})


def test_weights_without_a_network_are_refused_with_what_to_add(tmp_path):
    with pytest.raises(LoadError, match=r"a state dict.*`module: package.Class`"):
        load(models.torch_state_dict(tmp_path), spec("output_0"))


def test_module_beside_a_format_with_its_own_code_is_refused(tmp_path):
    with pytest.raises(LoadError, match="holds TorchScript, which brings its own code"):
        load(models.torchscript(tmp_path), spec("output_0", **LINEAR))


def test_pickled_network_is_refused_and_its_class_named(tmp_path):
    import torch

    from tests.support.networks import Power

    path = tmp_path / "model.pt"
    torch.save(Power(), path)
    with pytest.raises(UntrustedArtifactError, match=r"support\.networks\.Power.*state_dict\(\)"):
        load(path, spec("output_0", module="tests.support.networks.Power"))


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        ("no.such.Net", {}, r"no\.such\.Net` of .* cannot be imported: No module named 'no'"),
        ("tests.support.networks.Absent", {}, "Absent` of .* is not there"),
        (
            "tests.support.networks.Power",
            {"size": 2},
            r"cannot be made with `module_args` \{'size': 2\}",
        ),
        ("tests.support.networks.NotANetwork", {}, "makes a NotANetwork, not a torch.nn.Module"),
        ("tests.support.networks.Power", {"width": 2}, r"size mismatch for weight.*\[1\].*\[2\]"),
        ("torch.nn.Identity", {}, 'Unexpected key.* "weight"'),
    ],
)
def test_class_that_does_not_fit_the_weights_is_refused(module, args, message, tmp_path):
    from tests.support.networks import Power

    path = save_state_dict(Power(), tmp_path)
    with pytest.raises(LoadError, match=message):
        load(path, spec("output_0", module=module, module_args=args))


def test_training_mode_is_left(tmp_path):
    import torch

    path = save_scripted(torch.nn.Dropout(0.5).train(), tmp_path)
    found = load(path, spec("output_0")).predict({"input": ONES})["output_0"]
    np.testing.assert_array_equal(found, ONES)


def test_every_calling_thread_computes_with_the_threads_granted(tmp_path):
    import torch

    path, granted = models.torchscript(tmp_path), []
    one, two = (load(path, spec("output_0"), threads=threads) for threads in (1, 2))

    def compute():
        torch.set_num_threads(2)  # what the thread did before
        for servable in (one, two, one):
            servable.predict({"input": ONES})
            granted.append(torch.get_num_threads())

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join(timeout=30)
    assert granted == [1, 2, 1]


def test_bfloat16_arrives_as_float32(tmp_path):
    from tests.support.networks import Halves

    servable = load(save_scripted(Halves(), tmp_path), spec("output_0", inputs={"x": "column"}))
    found = servable.predict({"x": ONES})["output_0"]
    assert found.dtype == np.float32
    assert (found == 0.5).all()


def export(network, path, example, **settings):
    import torch

    torch.export.save(torch.export.export(network.eval(), (example,), **settings), path)
    return path


def test_exported_program_of_bfloat16_gets_its_inputs_as_such(tmp_path):
    import torch

    network = torch.nn.Linear(4, 3).bfloat16()
    rows = {0: torch.export.Dim("rows")}
    example = torch.ones(2, 4, dtype=torch.bfloat16)
    path = export(network, tmp_path / "model.pt2", example, dynamic_shapes=(rows,))
    given = np.random.default_rng(0).random((5, 4), "float32")
    found = load(path, spec("output_0")).predict({"input": given})["output_0"]
    with torch.inference_mode():
        expected = network(torch.from_numpy(given).bfloat16()).float()
    np.testing.assert_array_equal(found, expected)


def test_exported_program_with_objects_of_its_own_is_refused_with_a_way_out(tmp_path):
    code = """
import sys
from dataclasses import dataclass
import torch

@dataclass
class Both:
    a: torch.Tensor

torch.export.register_dataclass(Both, serialized_type_name="mine.Both")

class Network(torch.nn.Module):
    def forward(self, input):
        return Both(input)

torch.export.save(torch.export.export(Network(), (torch.ones(2, 4),)), sys.argv[1])
"""
    path = tmp_path / "model.pt2"
    subprocess.run([sys.executable, "-c", code, path], check=True)
    with pytest.raises(LoadError, match=r"class of its own .*mine.Both.* tensors, tuples"):
        load(path, spec("output_0"))


def test_torchscript_has_optimised_itself_once_it_is_warm(tmp_path):
    import torch

    def still_watching():
        return "prim::profile" in str(torch.jit.last_executed_optimized_graph())

    servable = load(models.torchscript(tmp_path), spec("output_0"))
    servable.predict({"input": ONES})
    assert still_watching()
    for rows in servable.warm_up_rows:
        servable.predict({"input": np.ones((rows, 4), "float32")})
    servable.predict({"input": np.ones((17, 4), "float32")})
    assert not still_watching()


def test_network_is_called_in_inference_mode(tmp_path):
    import torch

    torch.save({}, tmp_path / "model.pt")
    entry = spec("output_0", inputs={"x": "c"}, module="tests.support.networks.TellsItsMode")
    assert load(tmp_path / "model.pt", entry).predict({"x": ONES})["output_0"].all()


LENGTHS = np.array([2, 0, 1], "int64")


def lengths_of(column):
    assert isinstance(column, Ragged)
    return [row.shape for row in column.rows]


def test_list_of_dicts_has_one_for_each_row(tmp_path):
    from tests.support.networks import Finds

    path = save_scripted(Finds(), tmp_path)
    bound = spec("boxes", "labels", "count", inputs={"x": "n"})
    found = load(path, bound).predict({"x": LENGTHS})
    assert lengths_of(found["boxes"]) == [(2, 4), (0, 4), (1, 4)]
    assert [row.tolist() for row in found["labels"].rows] == [[0, 1], [], [0]]
    assert found["boxes"].rows[0].dtype == np.float32
    assert found["count"].tolist() == [2, 0, 1]


def test_what_is_inside_of_an_output_follows_a_dot(tmp_path):
    from tests.support.networks import FindsInTraining

    path = save_scripted(FindsInTraining(), tmp_path)
    servable = load(path, spec("output_1.boxes", inputs={"x": "n"}))
    found = servable.predict({"x": LENGTHS})["output_1.boxes"]
    assert lengths_of(found) == [(2, 4), (0, 4), (1, 4)]


def test_list_of_tensors_is_one_output_for_all_rows_or_one_each(tmp_path):
    from tests.support.networks import Pieces

    path = save_scripted(Pieces(), tmp_path)
    found = load(path, spec("rows", inputs={"x": "n"})).predict({"x": LENGTHS})["rows"]
    assert [row.tolist() for row in found.rows] == [[0, 1], [], [0]]
    found = load(path, spec("output_2", inputs={"x": "n"})).predict({"x": LENGTHS})["output_2"]
    assert found.tolist() == [0]


def test_nested_tensor_is_a_ragged_column(tmp_path):
    from tests.support.networks import Nested

    path = save_state_dict(Nested(), tmp_path)
    named = spec("output_0", inputs={"x": "n"}, module="tests.support.networks.Nested")
    found = load(path, named).predict({"x": LENGTHS})["output_0"]
    assert [row.tolist() for row in found.rows] == [[0, 1], [], [0]]
