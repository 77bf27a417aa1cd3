"""PyTorch: TorchScript, `torch.export` programs, and state dicts with the class of their network.

Inputs are the arguments of `forward` by name; outputs are keys, fields or ``output_0``...
(:func:`pipeline.backends.torch.formats.named_outputs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, needs_package
from pipeline.backends.model_files import model_file, size_of
from pipeline.backends.tensor_names import signature_of
from pipeline.backends.text import is_text
from pipeline.backends.torch import casts
from pipeline.backends.torch.device import TorchDevice, choose_device
from pipeline.backends.torch.formats import EACH_ROW, Network, named_outputs, open_network
from pipeline.backends.torch.runtime import limit_forks, limit_threads
from pipeline.backends.torch.thread_choice import ThreadChoice
from pipeline.batch import columns
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import numpy_dtype
from pipeline.errors import ModelFaultError
from pipeline.spec.model import ModelSpec, TorchModel

_NAMED = 8

SUFFIXES = (".pt", ".pth", ".ts", ".pt2", ".jit", ".torchscript")

_OF_WEIGHTS = (".safetensors", ".ckpt", ".bin")
"""Suffixes that other programs use as well, or of files that hold weights only: used if no file has
one of SUFFIXES."""


class TorchServable(Servable):
    """A network in inference mode."""

    def __init__(
        self, network: Network, path: Path, spec: ModelSpec, device: TorchDevice, threads: int
    ) -> None:
        self.signature = signature_of(path, spec, network.inputs, network.outputs, network.optional)
        self.device = device.name
        self.calls_at_once = device.calls
        self.size_bytes = network.size_bytes or size_of(path)
        self.half_inside = network.half
        self.warm_up_rows = network.warm_up_rows
        self._network = network
        self._device = device
        self._threads = ThreadChoice(threads)
        self._batched = next(iter(spec.column_inputs), "")  # "": it is described, not called
        self._outputs = list(spec.outputs)
        self._floats = network.floats
        self._dtypes = {t.name: t.dtype for t in self.signature.inputs or () if t.dtype}

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """Calls the network.

        Raises:
          TypeError: an input is text.
          RowsError: rows have numbers that the network's dtype cannot hold.
          ModelFaultError: the network does not return an output that the spec names.
        """
        return self._device.run(partial(self._predict, inputs))

    def _predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        with self._threads.for_call(len(inputs[self._batched])) as threads:
            limit_threads(threads)
            given = {name: self._argument(name, array) for name, array in inputs.items()}
            arguments = {name: self._cast(value) for name, value in given.items()}
            results = named_outputs(self._network.call(arguments))
            shapes: dict[str, list[tuple[int, ...]]] = {}
            found = {name: self._result(name, results, shapes) for name in self._outputs}
            arrays = self._device.arrays(found)
            for name, value in given.items():  # now: a device would have been waited for before
                if arguments[name] is not value:
                    casts.check(name, value, arguments[name])
            return {
                name: columns.ragged_from_flat(array, shapes[name]) if name in shapes else array
                for name, array in arrays.items()
            }

    def _argument(self, name: str, array: Array) -> Any:
        if name in self._network.plain and array.ndim == 0:
            return array.item()
        if is_text(array):
            raise TypeError(f"input '{name}' is text, which PyTorch has no tensors for")
        if name in self._dtypes:
            array = array.astype(numpy_dtype(self._dtypes[name]), copy=False)
        return self._device.put(array)

    def _cast(self, value: Any) -> Any:
        """An argument in the dtype of the network, where that is another than was given."""
        import torch

        if self._floats is None or not isinstance(value, torch.Tensor):
            return value
        return value.to(self._floats) if value.is_floating_point() else value

    def _result(
        self, name: str, results: Mapping[str, Any], shapes: dict[str, list[tuple[int, ...]]]
    ) -> Any:
        """An output; of a model in half precision as float32, whatever the device computed.

        If there is one tensor for each row, all values one after the other; `shapes` then tells the
        rows.
        """
        import torch

        if name not in results:
            raise ModelFaultError(
                f"the network returns no output '{name}'; it returns {_some(results)}"
            )
        value = results[name]
        if isinstance(value, torch.Tensor) and value.is_nested:
            value = list(value.unbind())
        if isinstance(value, list):
            for row in value:
                _check_tensor(name, row)
            shapes[name] = [tuple(row.shape) for row in value]
            value = torch.cat([row.reshape(-1) for row in value])
        _check_tensor(name, value)
        if self._floats is not None and value.dtype == self._floats:
            return value.float()
        return value


def _check_tensor(name: str, value: Any) -> None:
    import torch

    if not isinstance(value, torch.Tensor):
        raise ModelFaultError(f"output '{name}' is a {type(value).__name__}, not a tensor")


def _some(results: Mapping[str, Any]) -> str:
    """The names of outputs; of a list with one for each row, only some."""
    names = list(results)
    if len(names) > _NAMED and EACH_ROW in results:
        names = [*names[:_NAMED], "...", f"{EACH_ROW} (one tensor for each row)"]
    return ", ".join(names)


class TorchBackend:
    """Loads `.pt`, `.pth`, `.ts` and `.pt2` files, whatever they hold, and files of weights."""

    def start(self) -> None:
        """See Backend."""
        with needs_package("torch"):
            import torch  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> TorchServable:
        """Loads a network from a file, or from a folder with one such file."""
        assert isinstance(spec, TorchModel)
        self.start()
        limit_forks(context.intra_op_threads)
        file = _file(path)
        device = choose_device(context.device)
        network = open_network(file, spec, device.name)
        device.settle()
        return TorchServable(network, file, spec, device, context.intra_op_threads)


def _file(path: Path) -> Path:
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    if any(name.lower().endswith(SUFFIXES) for name in names):
        return model_file(path, SUFFIXES)
    return model_file(path, (*SUFFIXES, *_OF_WEIGHTS))
