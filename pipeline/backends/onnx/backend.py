"""ONNX Runtime: a `.onnx` file, with external data beside it where it has some.

API: https://onnxruntime.ai/docs/api/python/api_summary.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, loading, needs_package
from pipeline.backends.model_files import model_file, size_of
from pipeline.backends.onnx import companions
from pipeline.backends.onnx import file as onnx_file
from pipeline.backends.reasons import own_words
from pipeline.backends.tensor_names import signature_of
from pipeline.backends.text import as_str, decoded, is_text
from pipeline.batch.columns import Array, Column, ragged_from_rows
from pipeline.batch.tensors import TensorSpec, numpy_dtype
from pipeline.errors import DeviceError, LoadError
from pipeline.spec.model import ModelSpec

SUFFIXES = (".onnx",)

_KIND = "an ONNX graph"
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_GPU_CALLS = 4  # their rows travel slowly, since ONNX Runtime takes them from ordinary memory
_SILENT = 4  # severity "fatal": the errors arrive as exceptions
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{
        f"tensor({name})": name
        for name in (
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
            *("float16", "bool", "string"),
        )
    },
}

_MAPS_TO = {"seq(map(int64,tensor(float)))": "int64", "seq(map(string,tensor(float)))": "string"}
"""What sklearn-onnx ends a classifier with: a map for each row -> dtype of its keys, the labels."""
_LABELS = ".labels"

_ROWS_OF = {f"seq({kind})": dtype for kind, dtype in _DTYPES.items()}
"""A sequence has one tensor for each row."""


class OnnxServable(Servable):
    """An ONNX Runtime session. Its `run` may be called from several threads."""

    def __init__(self, session: Any, path: Path, spec: ModelSpec) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        with loading(path, "an ONNX graph"), path.open("rb") as file:
            ranks, self.half_inside = onnx_file.input_ranks(file), onnx_file.has_halves(file)
        defaults = session.get_overridable_initializers()
        self.signature = signature_of(
            path,
            spec,
            [_tensor_spec(node, ranks.get(node.name)) for node in (*inputs, *defaults)],
            [spec for node in outputs for spec in _output_specs(node)],
            optional={node.name for node in defaults},
        )
        _check_types(path, spec.inputs, (*inputs, *defaults), _DTYPES)
        _check_types(path, spec.outputs, outputs, _DTYPES | _ROWS_OF | _MAPS_TO)
        on_gpu = session.get_providers()[0] == _CUDA
        self.device = "cuda:0" if on_gpu else "cpu"
        self.calls_at_once = _GPU_CALLS if on_gpu else 1
        self.size_bytes = size_of(path)
        self._session = session
        self._outputs = list(spec.outputs)
        self._maps = {node.name for node in outputs if node.type in _MAPS_TO}
        self._dtypes = {t.name: t.dtype for t in self.signature.inputs or () if t.dtype}

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """Runs the graph. Outputs that the spec does not name are computed, but not copied out."""
        feeds = {name: self._feed(name, array) for name, array in inputs.items()}
        named = {name: self._source(name) for name in self._outputs}
        asked = list(dict.fromkeys(named.values()))
        results = dict(zip(asked, self._session.run(asked, feeds), strict=True))
        return {name: self._column(name, results[source]) for name, source in named.items()}

    def _source(self, name: str) -> str:
        """The graph's own name of an output."""
        source = name.removesuffix(_LABELS)
        return source if source in self._maps else name

    def _column(self, name: str, result: Any) -> Column:
        if not isinstance(result, list):
            return decoded(result)
        if self._source(name) not in self._maps:
            return ragged_from_rows([decoded(np.asarray(row)) for row in result])
        if name in self._maps:
            return np.array([list(row.values()) for row in result], dtype=np.float32)
        return decoded(np.array([list(row) for row in result]))

    def _feed(self, name: str, array: Array) -> Array:
        if is_text(array):
            return as_str(array)
        return array.astype(numpy_dtype(self._dtypes[name]), copy=False)


class OnnxBackend:
    """Loads `.onnx` files."""

    def start(self) -> None:
        """See Backend."""
        with needs_package("onnxruntime"):
            import onnxruntime  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> OnnxServable:
        """Loads a graph from a file, or from a folder with one `.onnx` file."""
        self.start()
        import onnxruntime

        file = model_file(path, SUFFIXES)
        with loading(file, _KIND):
            companions.check(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = context.intra_op_threads
        options.inter_op_num_threads = 1
        # Waiting threads would spin on the cores that the other models of the ensemble need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = _SILENT
        session = _open(file, options, context.device)
        return OnnxServable(session, file, spec)


def _open(file: Path, options: Any, device: str) -> Any:
    """A session on the first device that works.

    Raises:
      LoadError: the graph is not usable, on whatever device.
      DeviceError: `device` is "gpu" and the session cannot run on one.
    """
    problem = ""
    if device != "cpu":
        opened, problem = _open_on_gpu(file, options)
        if opened is not None:
            return opened
    with loading(file, _KIND):
        opened = _session(file, options, _CPU)
    if device == "gpu":
        raise DeviceError(f"ONNX Runtime cannot run {file} on a GPU: {problem}")
    return opened


def _open_on_gpu(file: Path, options: Any) -> tuple[Any, str]:
    """A session on CUDA, or None and the reason why there is none."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if _CUDA not in available:
        return None, f"this build has no {_CUDA}, only {', '.join(available)}"
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    try:
        opened = _session(file, options, _CUDA, _CPU)
    except Exception as error:
        return None, own_words(error)
    # A CUDA library that is missing drops the provider without an error.
    if opened.get_providers()[0] != _CUDA:
        return None, f"{_CUDA} is installed, but it or one of its libraries cannot be loaded"
    return opened, ""


def _session(file: Path, options: Any, *providers: str) -> Any:
    import onnxruntime

    # Without enable_fallback=0 the session may move to the CPU by itself, also at run time.
    return onnxruntime.InferenceSession(file, options, providers=list(providers), enable_fallback=0)


def _tensor_spec(node: Any, rank: int | None = None) -> TensorSpec:
    """The spec of a tensor; `rank` is its number of axes in the file, None where that is unknown.

    ONNX Runtime's shape [] is a single value or an unknown shape: it does not tell which.
    """
    if node.type in _ROWS_OF:
        return TensorSpec(node.name, _ROWS_OF[node.type])
    dims = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, _DTYPES.get(node.type), () if rank == 0 else dims or None)


def _output_specs(node: Any) -> list[TensorSpec]:
    """The specs of an output; of maps, those of their values and of their keys, in one order."""
    if node.type not in _MAPS_TO:
        return [_tensor_spec(node)]
    return [
        TensorSpec(node.name, "float32", (None, None)),
        TensorSpec(node.name + _LABELS, _MAPS_TO[node.type], (None, None)),
    ]


def _check_types(
    path: Path, named: Collection[str], nodes: Iterable[Any], known: Collection[str]
) -> None:
    """Refuses types that cannot be columns, such as single maps and optional values."""
    for node in nodes:
        if node.name in named and node.type not in known:
            raise LoadError(
                f"{path}: '{node.name}' is a {node.type}, which cannot be a column; expected one "
                f"of {', '.join(known)}"
            )
