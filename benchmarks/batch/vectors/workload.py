"""Records of an id and 64 numbers, and the three models that read them.

A record has an id, from 0, and ``x``, 64 numbers with 4 decimals. Records come as JSON lines
``{"id": 17, "x": [...]}`` or as Parquet (int64, list<float>), in a folder of files of 50,000. The
models are a scikit-learn logistic regression and two networks of 64-128-10 neurons, ONNX and
TorchScript, each from ``x`` to ten probabilities. What they say means nothing; what they cost is
typical of small models.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.batch.arrow_lists import list_array
from benchmarks.batch.workload import Format, Workload

FEATURES, HIDDEN, CLASSES = 64, 128, 10

Array = np.ndarray[Any, Any]


class Vectors(Workload):
    """Its models: `model.skops`, `model.pickle` (the same one), `model.onnx`, `model.pt`."""

    name = "vectors"
    forms = ("jsonl", "parquet")
    part_rows = 50_000
    title, noun = "Batch", "record"
    batch_section, stages_section = "batch", "stages"
    spec_source = Path(__file__).with_name("ensemble.yaml")

    def write_models(self, folder: Path) -> None:
        rng = np.random.default_rng(2)
        _write_sklearn(folder, rng)
        weights = {
            "w1": rng.normal(scale=FEATURES**-0.5, size=(FEATURES, HIDDEN)).astype("float32"),
            "b1": rng.normal(scale=0.1, size=HIDDEN).astype("float32"),
            "w2": rng.normal(scale=HIDDEN**-0.5, size=(HIDDEN, CLASSES)).astype("float32"),
            "b2": rng.normal(scale=0.1, size=CLASSES).astype("float32"),
        }
        _write_onnx(folder / "model.onnx", weights)
        _write_torchscript(folder / "model.pt", weights)

    def write_part(self, form: Format, first: int, rows: int, path: Path) -> None:
        _WRITE[form](path, first, _records(first, rows))


def _records(first: int, rows: int) -> Array:
    """``x`` of some records of a part, float64[rows, 64]; the same whatever their number."""
    return np.random.default_rng([1, first]).normal(size=(rows, FEATURES)).round(4)


def _write_jsonl(path: Path, first: int, x: Array) -> None:
    rows = orjson.dumps(x, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")
    lines = [b'{"id":%d,"x":[%b]}\n' % numbered for numbered in enumerate(rows, start=first)]
    path.write_bytes(b"".join(lines))


def _write_parquet(path: Path, first: int, x: Array) -> None:
    ids = pa.array(np.arange(first, first + len(x)))
    table = pa.table({"id": ids, "x": list_array(x.astype(np.float32))})
    pq.write_table(table, path, use_dictionary=False)


_WRITE: dict[Format, Callable[[Path, int, Array], None]] = {
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}


def _write_sklearn(folder: Path, rng: np.random.Generator) -> None:
    import pickle

    from sklearn.linear_model import LogisticRegression
    from skops import io as skops_io

    x = rng.normal(size=(2_000, FEATURES))
    classes = (x @ rng.normal(size=(FEATURES, CLASSES))).argmax(axis=1)
    model = LogisticRegression().fit(x, classes)
    skops_io.dump(model, folder / "model.skops")
    (folder / "model.pickle").write_bytes(pickle.dumps(model))


def _write_onnx(path: Path, weights: Mapping[str, Array]) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["sums"]),
            helper.make_node("Relu", ["sums"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "w2", "b2"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["proba"], axis=1),
        ],
        "benchmark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", FEATURES])],
        [helper.make_tensor_value_info("proba", TensorProto.FLOAT, ["rows", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    # Newer versions are onnx's default, and ONNX Runtime 1.31 does not read them yet.
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path
    )


def _write_torchscript(path: Path, weights: Mapping[str, Array]) -> None:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(FEATURES, HIDDEN)
            self.second = torch.nn.Linear(HIDDEN, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.second(self.first(x).relu())
            return logits.softmax(dim=1)

    network = Network()
    # Not the weights of the ONNX network: the ensemble shall have three opinions.
    names = {"first.weight": "w1", "first.bias": "b1", "second.weight": "w2", "second.bias": "b2"}
    network.load_state_dict(
        {name: torch.from_numpy(weights[key][::-1].T.copy()) for name, key in names.items()}
    )
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.export is the newer way
        torch.jit.save(torch.jit.script(network.eval()), buffer)
    path.write_bytes(buffer.getvalue())
