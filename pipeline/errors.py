"""Every error this project raises on purpose.

::

    EnsembleError
    ├── LaunchError                 the job must not start; exit status 2, no traceback
    │   ├── ParameterError          a template parameter
    │   ├── SpecError               the ensemble file
    │   ├── ModelError              a model that the ensemble file names
    │   └── PathError               an input, output or bucket
    ├── ArtifactError               a model's files
    │   ├── ArtifactNotFoundError   nothing at that URI
    │   ├── ArtifactChangedError    not the files the release was made from
    │   ├── UntrustedArtifactError  it could run code or touch files, and nobody allowed it
    │   └── LoadError               the framework cannot load them
    ├── DeviceError                 the asked device is not there
    ├── InferenceError              a loaded model failed
    │   ├── OutOfMemoryError        too many rows at once for the device
    │   ├── ModelFaultError         it fails whatever the row
    │   └── ProcessLostError        the process that computes is gone; the rows are not at fault
    ├── ServiceError                a service refuses while the job runs
    ├── OutputError                 what a job wrote must not stand, or is not what was asked for
    ├── ThreadEndedError            a thread that the job depends on ended by an error
    ├── RowsError                   some rows of a batch cannot be computed, the others can
    └── RecordError                 one record is unusable; becomes a dead letter

Errors of the frameworks and of the storage clients are wrapped where they enter (backends,
connectors), so the layers above handle only these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.readable import readable

__all__ = [
    "ArtifactChangedError",
    "ArtifactError",
    "ArtifactNotFoundError",
    "DeviceError",
    "EnsembleError",
    "InferenceError",
    "LaunchError",
    "LoadError",
    "ModelError",
    "ModelFaultError",
    "OutOfMemoryError",
    "OutputError",
    "ParameterError",
    "PathError",
    "ProcessLostError",
    "RecordError",
    "RowsError",
    "ServiceError",
    "SpecError",
    "ThreadEndedError",
    "UntrustedArtifactError",
    "WireError",
    "is_interrupt",
]


class EnsembleError(Exception):
    """Base class of all errors below. Their texts are readable, whatever names stand in them."""

    def __init__(self, message: str = "") -> None:
        super().__init__(readable(message))


def is_interrupt(error: BaseException) -> bool:
    """Whether an error asks this process to end.

    A panic of a package in Rust does not, although PyO3 derives its PanicException from
    BaseException, which ``except Exception`` lets pass; nor does a model that calls `sys.exit`.
    """
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


SHOWN_PROBLEMS = 50
"""The most that people are told at once: a table has thousands of columns, often wrong alike."""


class LaunchError(EnsembleError):
    """The job must not start; as text, the first of its problems.

    Attributes:
      problems: one line or a few for each thing that is wrong, in the order found.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        each = (problems,) if isinstance(problems, str) else problems
        self.problems: tuple[str, ...] = tuple(map(readable, each))
        more = len(self.problems) - SHOWN_PROBLEMS
        shown = [*self.problems[:SHOWN_PROBLEMS], *([f"and {more:,} more"] if more > 0 else [])]
        Exception.__init__(self, "\n".join(shown))


class ParameterError(LaunchError):
    """A template parameter is missing, misspelt or has a value that it cannot have."""


class SpecError(LaunchError):
    """The ensemble file cannot be read, parsed or resolved into a graph."""


class ModelError(LaunchError):
    """A model of the ensemble cannot be loaded, or does not fit the graph."""


class PathError(LaunchError):
    """An input matches nothing, or an output cannot be written."""


class ArtifactError(EnsembleError):
    """The files of a model version are not usable."""


class ArtifactNotFoundError(ArtifactError):
    """Nothing is stored at the model's URI."""


class ArtifactChangedError(ArtifactError):
    """The files at the URI are no longer the ones the release was made from."""


class UntrustedArtifactError(ArtifactError):
    """The files could run code that they carry or touch other files, and are not trusted."""

    @property
    def names_a_way(self) -> bool:
        """Whether the key `trusted` would let them in: then the message says so."""
        return "`trusted: true`" in str(self)


class LoadError(ArtifactError):
    """The framework refused the files; the message carries its own words."""


class DeviceError(EnsembleError):
    """The requested device does not exist, or the framework cannot use it."""


class InferenceError(EnsembleError):
    """A loaded model failed while it computed."""


class OutOfMemoryError(InferenceError):
    """The device ran out of memory; fewer rows at once may still fit."""


class ModelFaultError(InferenceError):
    """The model fails whatever the row: the fault is the model's, not the data's."""


class ProcessLostError(InferenceError):
    """The process that computes for this one is gone: nothing was learnt about the rows."""


class ServiceError(EnsembleError):
    """A subscription or topic is gone or may not be used any more, while the job runs."""


class ThreadEndedError(EnsembleError):
    """A thread that the job depends on ended by an error."""


class OutputError(EnsembleError):
    """What a batch job writes is not taken, collides with another job's, or is too little."""


class RowsError(EnsembleError):
    """Some rows of a batch cannot be computed; the others can.

    Attributes:
      messages: row index in the batch -> reason.
    """

    def __init__(self, messages: Mapping[int, str]) -> None:
        self.messages = dict(messages)
        first = next(iter(self.messages.values()), "")
        others = f" (and {len(self.messages) - 1} more rows)" if len(self.messages) > 1 else ""
        super().__init__(f"{first}{others}")


class RecordError(EnsembleError):
    """One record cannot be used.

    Attributes:
      kind: short stable name of the failure, e.g. ``"wrong_shape"``; counted and grouped by it.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class WireError(EnsembleError):
    """Bytes that another version of the program wrote, and that this one cannot read."""
