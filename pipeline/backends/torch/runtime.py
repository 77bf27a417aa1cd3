"""What all models that PyTorch computes share: threads and half precision."""

from __future__ import annotations

from functools import cache
from typing import Any

from pipeline.readable import logger

_LOGGER = logger(__name__)


def half_precision(device: str) -> Any:
    """The dtype of ``precision: half`` on a device.

    CPUs compute float16 slowly or not at all, and bfloat16 has the range of float32.
    """
    import torch

    return torch.bfloat16 if device == "cpu" else torch.float16


@cache
def limit_forks(threads: int) -> None:
    """Bounds the process's pool of threads in which TorchScript runs the forks of a network.

    torch accepts it only before the first fork; tried once.
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
