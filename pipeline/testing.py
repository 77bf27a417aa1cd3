"""Parts for tests, of this project and of its users: models that count and fail on command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from pipeline.backends.base import Servable
from pipeline.batch.columns import Array, Column
from pipeline.batch.release import ModelVersion
from pipeline.batch.tensors import Signature
from pipeline.errors import LoadError, OutOfMemoryError

Predict = Callable[[Mapping[str, Array]], Mapping[str, Column]]


class FakeClock:
    """Seconds that pass only on command."""

    def __init__(self, now_secs: float = 0.0) -> None:
        self._now_secs = now_secs

    def __call__(self) -> float:
        """The time now."""
        return self._now_secs

    def advance(self, secs: float) -> None:
        """Lets time pass."""
        self._now_secs += secs


class FakeServable(Servable):
    """A servable around a plain function.

    Args:
      function: inputs -> outputs; may raise.
      signature: what it declares; nothing by default.
      fits_rows: raises OutOfMemoryError for more rows than this.

    Attributes:
      calls: number of rows of each call, in order.
      fits_rows: the argument; may be changed.
      closed: whether `close` was called.
    """

    def __init__(
        self,
        function: Predict,
        signature: Signature | None = None,
        fits_rows: int | None = None,
    ) -> None:
        self.signature = signature or Signature()
        self.device = "cpu"
        self.size_bytes = 0
        self.calls: list[int] = []
        self.closed = False
        self._function = function
        self.fits_rows = fits_rows

    def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        """Calls the function, and counts."""
        rows = max(len(array) for array in inputs.values() if array.ndim)
        self.calls.append(rows)
        if self.fits_rows is not None and rows > self.fits_rows:
            raise OutOfMemoryError(f"{rows} rows do not fit, {self.fits_rows} would")
        return self._function(inputs)

    def close(self) -> None:
        """Remembers that it was called."""
        self.closed = True


class FakeLoader:
    """A loader that makes fake servables, counts, and can be told to fail or to wait.

    Args:
      make: version -> servable.

    Attributes:
      loads: versions in the order in which loading them began.
      fail: versions (by digest) whose load raises LoadError.
      gate: loads wait until it is set; set from the start.
    """

    def __init__(self, make: Callable[[ModelVersion], Servable]) -> None:
        self.loads: list[ModelVersion] = []
        self.fail: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self._make = make

    def __call__(self, version: ModelVersion) -> Servable:
        """Makes the servable of a version."""
        self.loads.append(version)
        self.gate.wait()
        if version.digest in self.fail:
            raise LoadError(f"told to fail on {version.uri}")
        return self._make(version)
