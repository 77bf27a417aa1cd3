"""Python classes that the ensemble file names as ``package.module:Class``."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.errors import ArtifactNotFoundError, LoadError

_ADVICE = (
    "it must be importable wherever the job runs and on the machine that launches it: put it into "
    "the image (workers alone also get it by --extra_package)"
)


def source_of(name: str) -> Path:
    """The file of the module that a class is in. Packages above the module are imported.

    Raises:
      ArtifactNotFoundError: there is no such module, or it is no file.
    """
    module = name.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except Exception as error:
        raise ArtifactNotFoundError(
            f"the module '{module}' cannot be found ({own_words(error)}); {_ADVICE}"
        ) from error
    if found is None:
        raise ArtifactNotFoundError(f"there is no module '{module}'; {_ADVICE}")
    if not found.origin or not Path(found.origin).is_file():
        raise ArtifactNotFoundError(f"the module '{module}' is not a file, expected one")
    return Path(found.origin)


def instance_of(name: str) -> Any:
    """A new object of a class, made without arguments.

    Raises:
      LoadError: it cannot be imported or made, or lacks `load` or `predict`.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise LoadError(f"the module '{module}' has no class '{attribute}'") from error
    except Exception as error:
        raise LoadError(
            f"the class {name} cannot be imported ({own_words(error)}); {_ADVICE}"
        ) from error
    lacking = [n for n in ("load", "predict") if not callable(getattr(found, n, None))]
    if not isinstance(found, type) or lacking:
        what = f"has no method {' and no '.join(lacking)}" if lacking else "is not a class"
        raise LoadError(f"{name} {what}; expected a class with load(path) and predict(columns)")
    try:
        return found()
    except Exception as error:
        raise LoadError(f"{name}() failed, without arguments: {own_words(error)}") from error
