"""Where PyTorch computes, and how arrays get there and back.

Arrays go to a GPU through page-locked memory: the GPU copies them from there at the full speed of
the bus while the processor goes on. A few threads make all calls, each on a stream of its own, so
the rows of one call travel while another computes. If the callers' own threads did, each would have
its own workspace of cuBLAS (32 MiB on some GPUs), and its own plan of cuDNN for every layer and
number of rows, which takes much longer to make than to use.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html (asynchronous execution, pinned memory)
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np

from pipeline.backends.reasons import own_words
from pipeline.batch.columns import Array
from pipeline.errors import DeviceError, ProcessLostError
from pipeline.readable import logger

_T = TypeVar("_T")
_LOGGER = logger(__name__)

_GPU_CALLS = 2
"""Calls at a time: one computes while the rows of the other travel."""


class TorchDevice(ABC):
    """A device. Its methods may be called from any thread.

    Attributes:
      name: torch's, "cpu" or "cuda:0".
      calls: calls that do not get in each other's way when they run at the same time.
    """

    name: str
    calls: int

    @abstractmethod
    def settle(self) -> None:
        """Waits for work that was started outside of calls, such as copying a network's weights."""

    @abstractmethod
    def run(self, call: Callable[[], _T]) -> _T:
        """Makes one call of a network, from the first `put` to the last `arrays`.

        Raises:
          ProcessLostError: the device computes nothing any more in this process.
        """

    @abstractmethod
    def put(self, array: Array) -> Any:
        """A tensor with a copy of an array, because a network may change its inputs in place."""

    @abstractmethod
    def moved(self, tensor: Any) -> Any:
        """A tensor that nobody else uses, from the CPU to this device."""

    @abstractmethod
    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """Copies of tensors, which may be a network's own, as arrays on the CPU.

        bfloat16, which NumPy does not support, becomes float32.
        """


class Cpu(TorchDevice):
    """The processor of this machine."""

    name = "cpu"
    calls = 1

    def settle(self) -> None:
        """See TorchDevice. Nothing runs in the background here."""

    def run(self, call: Callable[[], _T]) -> _T:
        """See TorchDevice."""
        import torch

        with torch.inference_mode():
            return call()

    def put(self, array: Array) -> Any:
        """See TorchDevice."""
        import torch

        return torch.from_numpy(array.copy())

    def moved(self, tensor: Any) -> Any:
        """See TorchDevice."""
        return tensor

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """See TorchDevice."""
        return {n: np.array(_with_numpy_dtype(t).numpy(force=True)) for n, t in tensors.items()}


@dataclass
class _Lane:
    """A thread that makes calls, one at a time."""

    thread: ThreadPoolExecutor
    busy: bool = False


class Gpu(TorchDevice):
    """The first CUDA device."""

    name = "cuda:0"
    calls = _GPU_CALLS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(_GPU_CALLS)
        self._lanes = [
            _Lane(ThreadPoolExecutor(1, "gpu", self._take_stream)) for _ in range(_GPU_CALLS)
        ]
        self._lost: Exception | None = None

    def settle(self) -> None:
        """See TorchDevice."""
        import torch

        torch.cuda.synchronize(self.name)

    def run(self, call: Callable[[], _T]) -> _T:
        """See TorchDevice. Waits while all threads are busy.

        A process cannot recover from an error that stops the GPU, such as an index out of range.
        The first call says so; the next one, such as a retry, ends the process, because only
        another process can go on.
        """
        if self._lost is not None:
            _LOGGER.critical("this process ends: its GPU is lost, %s", _reason(self._lost))
            os._exit(1)
        with self._idle:
            with self._lock:
                # The first one if it is idle: small calls, which have many numbers of rows, then
                # use only its plans, which were made while the version was warmed up.
                lane = next(lane for lane in self._lanes if not lane.busy)
                lane.busy = True
            try:
                return lane.thread.submit(self._call, call).result()
            finally:
                with self._lock:
                    lane.busy = False

    def put(self, array: Array) -> Any:
        """See TorchDevice."""
        import torch

        dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        locked = torch.empty(array.shape, dtype=dtype, pin_memory=True)
        if array.flags.writeable and array.flags.c_contiguous:
            locked.copy_(torch.from_numpy(array))  # in as many threads as the call may use
        else:  # torch warns of the one, and refuses some of the other
            np.copyto(locked.numpy(), array)
        return locked.to(self.name, non_blocking=True)

    def moved(self, tensor: Any) -> Any:
        """See TorchDevice."""
        return tensor.pin_memory().to(self.name, non_blocking=True)

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """See TorchDevice. Waits for the results of this call only."""
        import torch

        locked = {}
        for name, tensor in tensors.items():
            there = _with_numpy_dtype(tensor)
            here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
            locked[name] = here.copy_(there, non_blocking=True)
        torch.cuda.current_stream(self.name).synchronize()
        return {name: tensor.numpy() for name, tensor in locked.items()}

    def _take_stream(self) -> None:
        import torch

        torch.cuda.set_stream(torch.cuda.Stream(self.name))  # type: ignore[no-untyped-call]

    def _call(self, call: Callable[[], _T]) -> _T:
        import torch

        try:
            with torch.inference_mode():
                return call()
        except Exception as error:
            if self._works():
                raise
            # Kept, with its tensors: freeing memory of a lost GPU would end the process here.
            self._lost = error
            lost = ProcessLostError(
                f"the GPU is lost to this process: {_reason(error)}; a value out of range, such as "
                "a token id beyond the vocabulary, does this; with `device: cpu`, the model tells "
                "which record has it"
            )
            # Logged now: another caller may end the process before this error is reported.
            _LOGGER.critical("%s", lost)
            raise lost from error

    def _works(self) -> bool:
        import torch

        try:
            torch.cuda.synchronize(self.name)
        except RuntimeError:
            return False
        return True


def choose_device(device: str) -> TorchDevice:
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
    """One GPU object for all models of the process, which share its threads."""
    return Gpu()


def _reason(error: Exception) -> str:
    """What went wrong, without the advice to those who build PyTorch."""
    return own_words(error).partition(" Search for ")[0]


def _with_numpy_dtype(tensor: Any) -> Any:
    import torch

    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
