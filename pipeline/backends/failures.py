"""What the frameworks raise, in the words of this project.

Every backend passes its framework's failures through here: at load :func:`needs_package` and
:func:`loading`, at prediction :func:`computing`.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pipeline.backends.base import Servable
from pipeline.backends.reasons import hides_its_reason, own_words
from pipeline.batch.columns import Array, Column
from pipeline.errors import (
    EnsembleError,
    InferenceError,
    LoadError,
    ModelFaultError,
    OutOfMemoryError,
    is_interrupt,
)

_S = TypeVar("_S", bound=Servable)
_R = TypeVar("_R", bound=Mapping[str, Column])
_Predict = Callable[[_S, Mapping[str, Array]], _R]

# Errors that no values of the rows could avoid.
_STRUCTURAL = (
    AttributeError,
    KeyError,
    ModelFaultError,
    NameError,
    NotImplementedError,
    TypeError,
)
_OF_STRUCTURE = re.compile(
    r"\bNo OpKernel was registered|\bnot implemented for\b|"  # an operation that this machine lacks
    r"\b(rank|shapes?|dim(ension)?s?|sizes?|axis|axes|dtypes?|data ?types?|columns?|features?|"
    r"arguments?|attribute|feed|names?|ndim|tensor\(|scalar type|(float|int|double|long)\d* but)\b",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"0x[0-9a-f]+")

# The names in FRAMEWORKS of the Dockerfile of what brings a package.
_FRAMEWORK_OF = {
    "keras": "tensorflow",
    "onnxruntime": "onnx",
    "scikit-learn": "sklearn",
    "skops": "sklearn",
    "tensorflow": "tensorflow",
    "tensorflow_hub": "tensorflow",
    "torch": "torch",
}

_MEMORY_TYPES = {"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"}
_MEMORY_WORDS = re.compile(
    r"out of memory|failed to allocate memory|can't allocate memory|unable to allocate|"
    r"bad allocation|bad_alloc|OOM when allocating|_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)


def rejects_values(errors: Sequence[Exception]) -> bool:
    """Whether the errors of a model for different rows may be about the rows' values.

    They are not if all of them say the same of a rank, a name, a type, or an operation that is not
    there: no rows would work then.
    """
    said = {_ADDRESS.sub("", f"{type(error).__name__}: {error}") for error in errors}
    return len(said) > 1 or not all(
        isinstance(error, _STRUCTURAL) or _OF_STRUCTURE.search(str(error)) for error in errors
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether fewer rows might have worked: no memory left on the CPU or the GPU.

    Judged by type and by message: ONNX Runtime and PyTorch on the CPU raise general types.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & _MEMORY_TYPES) or _MEMORY_WORDS.search(str(error)) is not None


@contextmanager
def needs_package(package: str, *, extra: str | None = None) -> Iterator[None]:
    """Wraps the import of an optional package.

    Args:
      package: what pip calls it.
      extra: the extra that brings it, for packages that are not in the image unless asked for.

    Raises:
      LoadError: it is not installed, or cannot be imported.
    """
    try:
        yield
    except (ImportError, OSError) as error:  # OSError: a shared library that it needs is missing
        argument = f"EXTRAS={extra}" if extra else _frameworks_with(package)
        in_image = f" (into an image: docker build --build-arg {argument})" if argument else ""
        raise LoadError(
            f"the package '{package}' is needed and cannot be imported ({own_words(error)}); "
            f"install it with: pip install {package}{in_image}"
        ) from error


def _frameworks_with(package: str) -> str:
    """The build argument that adds the package to this image; nothing if that was not left out."""
    kept = os.environ.get("ENSEMBLE_FRAMEWORKS")  # set in the CPU image (Dockerfile)
    framework = _FRAMEWORK_OF.get(package)
    if kept is None or framework is None or framework in kept.split():
        return ""
    return f'FRAMEWORKS="{" ".join([*kept.split(), framework])}"'


@contextmanager
def loading(path: Path, kind: str) -> Iterator[None]:
    """Wraps calls that read a model's files.

    Raises:
      LoadError: the framework raised; names the file, what it should be, and the reason.
    """
    try:
        yield
    except EnsembleError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise LoadError(f"{path} cannot be loaded as {kind}: {own_words(error)}") from error


def computing(predict: _Predict[_S, _R]) -> _Predict[_S, _R]:
    """Decorates `Servable.predict`.

    Raises:
      OutOfMemoryError: the framework ran out of memory.
      InferenceError: instead of an error whose text begins with a stack or a place in C++ code; the
        reason comes first. Instead of a panic, too.
      Exception: every other error of the framework, unchanged.
    """

    @functools.wraps(predict)
    def guarded(self: _S, inputs: Mapping[str, Array]) -> _R:
        try:
            return predict(self, inputs)
        except BaseException as error:
            if is_interrupt(error):
                raise
            words = own_words(error)
            if not is_out_of_memory(error):
                if hides_its_reason(error) or not isinstance(error, Exception):
                    raise InferenceError(words) from error
                raise
        # Raised outside the handler: the framework's frames, which hold the tensors that did not
        # fit, are freed before the caller tries again with fewer rows.
        raise OutOfMemoryError(words)

    return guarded
