"""A task: what prepares the inputs of a model, calls it, and makes outputs of its results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.backends.torch.device import TorchDevice
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec


class Network:
    """A model in inference mode on its device.

    Attributes:
      model: transformers' object.
      config: its configuration.
    """

    def __init__(self, model: Any, device: TorchDevice) -> None:
        self.model = model
        self.config = model.config
        self._device = device

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """What the model returns for tensors that lie on the CPU."""
        return self.model(**self.moved(arguments))

    def moved(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors of the CPU on the model's device, those of floats in its dtype."""
        dtype = self.model.dtype
        moved = {name: self._device.moved(tensor) for name, tensor in arguments.items()}
        return {n: t.to(dtype) if t.is_floating_point() else t for n, t in moved.items()}

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """Tensors of the device as arrays of this process."""
        return self._device.arrays(tensors)


Prepare = Callable[[Mapping[str, Array]], Any]
Compute = Callable[[Network, Any, Collection[str]], Mapping[str, Column]]


@dataclass(frozen=True)
class Task:
    """What a task does with rows.

    Attributes:
      inputs, outputs: its tensors as the ensemble file names them.
      prepare: arrays by name -> what `compute` takes; called in the thread of the caller.
      compute: (model, what was prepared, wanted outputs) -> outputs, the rows in their order;
        called where the device computes, in inference mode.
      optional: inputs that need not be bound.
      cut: what was prepared -> for each row whether some of its text was cut off; None where no
        text ever is.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    prepare: Prepare
    compute: Compute
    optional: frozenset[str] = frozenset()
    cut: Callable[[Any], Array] | None = None
