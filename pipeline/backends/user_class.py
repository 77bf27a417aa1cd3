"""Python classes that the ensemble file names: found and imported, for every backend."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.errors import ArtifactNotFoundError, LoadError

_ADVICE = (
    "it and what it needs must be installed wherever the job runs and on the machine that launches "
    "it: put it into the image (workers alone also get it by --extra_package)"
)


def source_of(name: str) -> Path:
    """The file of the module that a class is in. Packages above the module are imported.

    Raises:
      ArtifactNotFoundError: there is no such module, or it is not a file.
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


def load_class(module: str, name: str, what: str) -> Any:
    """The object called `name` in a module. The caller checks whether it is a suitable class.

    Args:
      module: its import path.
      name: the class.
      what: what messages call it.

    Raises:
      LoadError: the module cannot be imported, or has nothing of that name.
    """
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        raise LoadError(f"{what} cannot be imported: {own_words(error)}; {_ADVICE}") from error
    try:
        return getattr(imported, name)
    except AttributeError as error:
        raise LoadError(f"{what} is not there: the module '{module}' has no '{name}'") from error
