"""What all models that PyTorch computes share: device, threads, and arrays from its tensors."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from pipeline.backends.base import Array
from pipeline.errors import DeviceError

_LOGGER = logging.getLogger(__name__)


def choose_device(device: str) -> str:
    """The device to load to, "cpu" or "cuda:0", for the one asked for.

    Raises:
      DeviceError: it is "gpu", and there is none.
    """
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return "cuda:0"
    if device == "gpu":
        raise DeviceError(f"PyTorch {torch.__version__} finds no CUDA device here")
    return "cpu"


def half_precision(device: str) -> Any:
    """The dtype of ``precision: half`` on a device.

    CPUs compute float16 slowly where they do at all, and bfloat16 has the range of float32.
    """
    import torch

    return torch.bfloat16 if device == "cpu" else torch.float16


@cache
def limit_forks(threads: int) -> None:
    """Bounds the pool of the process in which TorchScript runs what a network forks.

    torch takes it only before the first fork; done once, whatever comes of it.
    """
    import torch

    try:
        torch.set_num_interop_threads(threads)
    except RuntimeError as error:
        _LOGGER.warning("PyTorch keeps its pool for forks as it is: %s", error)


def limit_threads(threads: int) -> None:
    """Bounds the threads of calls from this thread.

    torch keeps the number for each thread of the process that calls it, so a servable sets it on
    every call; the last model loaded does not win over the others.
    """
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def to_array(tensor: Any) -> Array:
    """A tensor as an array on the CPU; bfloat16, which numpy has not, as float32."""
    import torch

    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: Array = tensor.numpy(force=True)
    return array
