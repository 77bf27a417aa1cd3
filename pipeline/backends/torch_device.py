"""Where PyTorch computes, and the way of arrays there and back.

To a GPU, arrays go through page-locked memory: it takes them from there by itself, at the full
speed of the bus, while the processor goes on. A call has one of two streams for its time, so the
rows of one call travel while another computes. More streams would gain nothing, and each keeps
memory for itself that no other can use.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html (asynchronous execution, pinned memory)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from queue import LifoQueue
from typing import Any

import numpy as np

from pipeline.backends.base import Array
from pipeline.errors import DeviceError

GPU_CALLS = 2
"""Calls that a GPU computes at the same time."""


class Device(ABC):
    """A device. Its methods may be called from any thread.

    Attributes:
      name: torch's, "cpu" or "cuda:0".
      calls: calls that do not get in each other's way when they run at the same time.
    """

    name: str
    calls: int

    @abstractmethod
    def settle(self) -> None:
        """Waits for all that was begun outside of calls: a network's weights are there then."""

    @abstractmethod
    def call(self) -> AbstractContextManager[None]:
        """Around one call of a network: from the first `put` to the last `arrays`."""

    @abstractmethod
    def put(self, array: Array) -> Any:
        """A tensor with a copy of an array, since a network may work in place on its inputs."""

    @abstractmethod
    def moved(self, tensor: Any) -> Any:
        """A tensor that nobody else has, from the CPU to this device."""

    @abstractmethod
    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """Tensors as arrays on the CPU; bfloat16, which numpy has not, as float32."""


class Cpu(Device):
    """The processor of this machine."""

    name = "cpu"
    calls = 1

    def settle(self) -> None:
        """See Device. Nothing is under way here after it was called for."""

    @contextmanager
    def call(self) -> Iterator[None]:
        """See Device."""
        import torch

        with torch.inference_mode():
            yield

    def put(self, array: Array) -> Any:
        """See Device."""
        import torch

        return torch.from_numpy(array.copy())

    def moved(self, tensor: Any) -> Any:
        """See Device."""
        return tensor

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """See Device."""
        return {name: _with_numpy_dtype(t).numpy(force=True) for name, t in tensors.items()}


class Gpu(Device):
    """The first CUDA device."""

    name = "cuda:0"
    calls = GPU_CALLS

    def __init__(self) -> None:
        import torch

        # The last one given back is the first one taken: a lone caller stays on one stream.
        self._streams: LifoQueue[Any] = LifoQueue()
        for _ in range(GPU_CALLS):
            self._streams.put(torch.cuda.Stream(self.name))  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        """See Device."""
        import torch

        torch.cuda.synchronize(self.name)

    @contextmanager
    def call(self) -> Iterator[None]:
        """See Device. Waits while all streams are in use."""
        import torch

        stream = self._streams.get()
        try:
            with torch.inference_mode(), torch.cuda.stream(stream):
                yield
        finally:
            self._streams.put(stream)

    def put(self, array: Array) -> Any:
        """See Device."""
        import torch

        dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        locked = torch.empty(array.shape, dtype=dtype, pin_memory=True)
        np.copyto(locked.numpy(), array)
        return locked.to(self.name, non_blocking=True)

    def moved(self, tensor: Any) -> Any:
        """See Device."""
        return tensor.pin_memory().to(self.name, non_blocking=True)

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """See Device. Waits for the results of the call, and for nothing else."""
        import torch

        locked = {}
        for name, tensor in tensors.items():
            there = _with_numpy_dtype(tensor)
            here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
            locked[name] = here.copy_(there, non_blocking=True)
        torch.cuda.current_stream(self.name).synchronize()
        return {name: tensor.numpy() for name, tensor in locked.items()}


def choose_device(device: str) -> Device:
    """The device to load to, for the one asked for: "auto", "cpu" or "gpu".

    Raises:
      DeviceError: it is "gpu", and there is none.
    """
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return _gpu()
    if device == "gpu":
        raise DeviceError(f"PyTorch {torch.__version__} finds no CUDA device here")
    return Cpu()


@cache
def _gpu() -> Gpu:
    """One for all models of the process, which share its streams."""
    return Gpu()


def _with_numpy_dtype(tensor: Any) -> Any:
    import torch

    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
