"""The contract between the project and a framework: ``Backend.load(...) -> Servable``.

A backend module imports its framework inside `load` (or below it), never at module top: an ensemble
without TensorFlow must not pay for TensorFlow. Errors of the framework are wrapped into those of
:mod:`pipeline.errors` at this boundary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.batch.columns import Array, BatchColumn, Column
from pipeline.batch.tensors import Signature
from pipeline.spec.model import ModelSpec
from pipeline.spec.row_limits import DEFAULT_ROWS

CUT_TEXTS = "(cut)"
"""What `predict` may return besides its outputs: for each row whether some of its text was cut off.

No output of a model has this name.
"""


@dataclass(frozen=True)
class LoadContext:
    """What the process grants a model.

    Attributes:
      device: "auto" (GPU when usable, else CPU), "cpu" or "gpu" (an error when not usable). A
        framework that never uses one, such as scikit-learn, refuses only a spec that asks for it.
      intra_op_threads: CPU threads that one call may use.
      shared: several threads of the process call the model at the same time; as many of their
        calls run at once as `Servable.calls_at_once` says.
      call_rows: most rows of a call.
      program_folder: of this user alone, for what a compiler makes; None for the compiler's own.
    """

    device: str = "auto"
    intra_op_threads: int = 1
    shared: bool = False
    call_rows: int = DEFAULT_ROWS
    program_folder: Path | None = None


class Servable(ABC):
    """One model version, loaded. `predict` may be called from several threads at once.

    Attributes:
      signature: inputs and outputs as the format declares them; parts it does not know are None.
      device: where it runs in fact: "cpu", "cuda:0"...
      size_bytes: memory held by its parameters, or the size of its files where that is unknown.
      calls_at_once: how many calls may run at the same time; more would only hinder each other. One
        if a single call keeps its device or the granted CPU threads busy.
      prepared_rows: most rows of a call that it is prepared for. A larger call is prepared for when
        it comes, which takes long. None if nothing is ever prepared.
      warm_up_rows: numbers of rows to call it with after a first call and before it serves. The
        framework prepares something in these calls, for which records would wait otherwise.
      half_inside: whether it computes in float16 or bfloat16 somewhere: its results are then as
        coarse, whatever their dtype.
      sound_row: columns with one row that it computed in this process before it served; None if it
        was not tried or computed none. It belongs to the object that serves.
    """

    signature: Signature
    device: str
    size_bytes: int
    calls_at_once: int = 1
    prepared_rows: int | None = None
    warm_up_rows: tuple[int, ...] = ()
    half_inside: bool = False
    sound_row: Mapping[str, BatchColumn] | None = None

    @abstractmethod
    def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        """Computes one batch.

        Args:
          inputs: model tensor name -> array. Batched tensors have the row as first axis and agree
            in its length; constants of the spec come as they are. Dtypes are those of the signature
            where it has them; text is an object array of str or bytes. Other models read them too,
            so no framework may write to them: code that might gets them read-only, or a copy.

        Returns:
          the outputs named in the spec, and `CUT_TEXTS` of a model that cuts texts; first axis the
          row; ragged where rows differ in length, and where they are known to do so in other calls.
          Text is an object array of str, or of bytes where a value is not UTF-8. They are the
          caller's own: no later call changes them.

        Raises:
          OutOfMemoryError: the device could not hold this many rows.
          Exception: whatever the framework raises; the caller decides whose fault it is.
        """

    def unmerged(self) -> Servable:
        """A servable that computes the same, but never together with rows of other callers."""
        return self

    def close(self) -> None:  # noqa: B027  # optional: most have nothing to do here
        """Frees what garbage collection alone would not."""


class ServableAround(Servable):
    """A servable that wraps another one and has its attributes."""

    def __init__(self, servable: Servable) -> None:
        self.signature = servable.signature
        self.device = servable.device
        self.size_bytes = servable.size_bytes
        self.calls_at_once = servable.calls_at_once
        self.prepared_rows = servable.prepared_rows
        self.warm_up_rows = servable.warm_up_rows
        self.half_inside = servable.half_inside
        self._servable = servable

    def close(self) -> None:
        """See Servable."""
        self._servable.close()


class Backend(Protocol):
    """Loads the artifacts of one framework."""

    def start(self) -> None:
        """Imports the framework, which stays for the life of the process.

        Raises:
          LoadError: it is not installed, or cannot be imported.
        """
        ...

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> Servable:
        """Loads a local file or folder.

        Raises:
          UntrustedArtifactError: it could run code or touch files, and is not trusted.
          LoadError: the framework cannot load it, or it does not have the format that it claims.
          DeviceError: ``device: gpu`` and the framework cannot use one.
        """
        ...
