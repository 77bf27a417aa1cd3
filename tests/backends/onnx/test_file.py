"""The reader of ONNX files against the `onnx` package, which the product does not need."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.backend import test as published

from pipeline.backends.onnx.file import external_files, input_ranks

PUBLISHED = sorted(Path(published.__path__[0]).rglob("*.onnx"))


def declared_ranks(model):
    return {
        info.name: len(info.type.tensor_type.shape.dim)
        if info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape")
        else None
        for info in model.graph.input
    }


def tensor(name, location=None):
    made = numpy_helper.from_array(np.ones(3, np.float32), name)
    if location is not None:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value=location)
        made.external_data.add(key="offset", value="0")
    return made


def graph(initializers=(), nodes=()):
    return helper.make_graph(list(nodes), "g", [], [], list(initializers))


def everywhere():
    """A model with external tensors in all the places that tensors can be in."""
    constant = helper.make_node("Constant", [], ["c"], value=tensor("c", "constant.bin"))
    branch = helper.make_node("If", ["c"], ["i"], then_branch=graph([tensor("t", "branch.bin")]))
    model = helper.make_model(graph([tensor("w", "sub/weights"), tensor("v")], [constant, branch]))
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(tensor("s", "sparse.bin"))
    function = model.functions.add(name="f", domain="d")
    function.node.add().CopyFrom(
        helper.make_node("Constant", [], ["k"], value=tensor("k", "f.bin"))
    )
    model.training_info.add().algorithm.CopyFrom(graph([tensor("a", "training.bin")]))
    return model


def test_published_models_have_the_ranks_that_onnx_reads():
    assert len(PUBLISHED) > 100
    for path in PUBLISHED:
        with path.open("rb") as file:
            found = input_ranks(file)
        assert found == declared_ranks(onnx.load(path, load_external_data=False)), path


def test_external_files_are_found_wherever_tensors_are():
    data = io.BytesIO(everywhere().SerializeToString())
    assert external_files(data) == (
        "branch.bin", "constant.bin", "f.bin", "sparse.bin", "sub/weights", "training.bin"
    )  # fmt: skip


def test_what_lies_in_the_file_itself_is_not_external(tmp_path):
    stale = tensor("w")
    stale.external_data.add(key="location", value="left over from a conversion")
    stale.data_location = TensorProto.DEFAULT
    assert external_files(io.BytesIO(helper.make_model(graph([stale])).SerializeToString())) == ()


def test_exporters_file_of_weights_is_found(tmp_path):
    model = helper.make_model(graph([numpy_helper.from_array(np.ones(9000, np.float32), "w")]))
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data")
    with (tmp_path / "m.onnx").open("rb") as file:
        assert external_files(file) == ("m.onnx.data",)


def test_large_tensors_are_skipped_not_read():
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size=-1):
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    weights = numpy_helper.from_array(np.ones(1_000_000, np.float32), "w")
    file = Counting(helper.make_model(graph([weights])).SerializeToString())
    assert external_files(file) == ()
    assert file.read_bytes < 1000


@given(st.data())
def test_what_is_cut_off_or_altered_is_told_or_read_and_never_runs_on(data):
    whole = everywhere().SerializeToString()
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    if content:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for read in (external_files, input_ranks):
        with suppress(ValueError):
            read(io.BytesIO(bytes(content)))


def test_messages_in_each_other_without_end_are_refused():
    content = b""
    for _ in range(300):
        for tag in (0x32, 0x2A, 0x0A):  # graph of an attribute of a node of a graph
            content = bytes([tag]) + _varint(len(content)) + content
    with pytest.raises(ValueError, match="too deep"):
        external_files(io.BytesIO(b"\x3a" + _varint(len(content)) + content))


def _varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
