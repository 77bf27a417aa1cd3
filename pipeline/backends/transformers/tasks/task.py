"""A task: what prepares the inputs of a model, calls it, and makes outputs of its results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.torch.device import TorchDevice
from pipeline.backends.transformers.compiled import Program
from pipeline.batch import rounding
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError


class Network:
    """A model in inference mode on its device.

    Attributes:
      model: transformers' object.
      config: its configuration.
      tolerance: of its results, by the dtype in which it computes; see `rounding`.
    """

    def __init__(self, model: Any, device: TorchDevice) -> None:
        self.model = model
        self.config = model.config
        self.tolerance = rounding.FULL if model.dtype.itemsize > 2 else rounding.HALF
        self._device = device
        self._program: Program | None = None

    def compile(self, path: Path, examples: Examples) -> None:
        """Has the model computed by programs from now on. See `Program.make`."""
        program = Program(self.model)
        program.make(path, [self.moved(arguments) for arguments in examples()], self.tolerance)
        self._program = program

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """What the model returns for tensors that lie on the CPU."""
        return self.computed(self.moved(arguments))

    def computed(self, arguments: Mapping[str, Any]) -> Any:
        """What the model returns for tensors that lie on its device."""
        return self.model(**arguments) if self._program is None else self._program(arguments)

    def moved(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors of the CPU on the model's device, those of floats in its dtype."""
        dtype = self.model.dtype
        moved = {name: self._device.moved(tensor) for name, tensor in arguments.items()}
        return {n: t.to(dtype) if t.is_floating_point() else t for n, t in moved.items()}

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """Tensors of the device as arrays of this process."""
        return self._device.arrays(tensors)


Prepare = Callable[[Mapping[str, Array]], Any]
Examples = Callable[[], Sequence[Mapping[str, Any]]]
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
      examples: arguments of the model by which it is compiled; None where it never is.
      try_out: what is to be known of the model before it serves; called once, where the device
        computes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    prepare: Prepare
    compute: Compute
    optional: frozenset[str] = frozenset()
    cut: Callable[[Any], Array] | None = None
    examples: Examples | None = None
    try_out: Callable[[Network], None] | None = None


def class_names(path: Path, config: Any) -> list[str]:
    """The names of a model's classes, by number.

    Args:
      path: its folder.
      config: its configuration.

    Raises:
      LoadError: a number has none.
    """
    names = config.id2label
    if missing := [str(number) for number in range(len(names)) if number not in names]:
        raise LoadError(
            f"{path / 'config.json'} has {len(names)} classes in `id2label`, and none with the "
            f"number {missing[0]}; expected 0 to {len(names) - 1}, each once"
        )
    return [str(names[number]) for number in range(len(names))]
