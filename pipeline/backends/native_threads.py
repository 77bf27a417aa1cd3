"""Threads of native libraries that no model's own setting bounds: BLAS and OpenMP.

A BLAS library has one pool for the whole process. OpenMP counts for each calling thread by itself,
so its bound is set again at every call, as PyTorch's is.
"""

from __future__ import annotations

from collections.abc import Callable

import threadpoolctl


def bound_blas(threads: int) -> None:
    """Bounds the BLAS libraries that are loaded by now, for every model of the process."""
    threadpoolctl.threadpool_limits(threads, user_api="blas")


def openmp_bound(threads: int) -> Callable[[], None]:
    """A function that bounds the OpenMP libraries loaded by now for the thread that calls it."""
    openmp = threadpoolctl.ThreadpoolController().select(user_api="openmp").lib_controllers

    def bound() -> None:
        for library in openmp:
            library.set_num_threads(threads)

    return bound
