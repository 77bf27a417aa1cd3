"""Estimators from pickles (joblib's too), and what to do about those that cannot be read."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.errors import LoadError

_NO_ATTRIBUTE = re.compile(
    r"Can't get attribute '([\w.]+)' on <module '([\w.]+)'"  # pickle
    r"|module '([\w.]+)' has no attribute '([\w.]+)'"  # skops
)
_BOOSTERS = {"xgboost": "model.ubj", "lightgbm": "model.txt"}
"""Package -> what to call the file that its framework reads."""
_SHOWN = 6


def unpickle(file: Path) -> Any:
    """What a file holds. It runs code that the file carries.

    Raises:
      LoadError: what it needs is not here.
      Exception: whatever reading it raises.
    """
    import joblib

    try:
        return joblib.load(file)  # reads plain pickles too, whatever the suffix says
    except (AttributeError, ModuleNotFoundError) as error:
        raise lacking(file, error) from error


def lacking(file: Path, error: AttributeError | ModuleNotFoundError) -> LoadError:
    """The error for a file that names a module, class or function which is not here."""
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).partition(".")[0]
        if package == str(error.name) and importlib.util.find_spec(package) is None:
            return LoadError(
                f"{file} needs the package '{package}', which is not installed; install it "
                "wherever the job runs (into the image) and on the machine that launches it"
            )
        return _other_version(file, f"the module '{error.name}'", package)
    found = _NO_ATTRIBUTE.search(str(error))
    if found is None:
        return LoadError(f"{file} cannot be loaded: {own_words(error)}")
    name, module = (found[1], found[2]) if found[1] else (found[4], found[3])
    if module.rpartition(".")[2] == "__main__":
        return LoadError(
            f"{file} needs '{name}' of the script that saved it, which is not in the file; move "
            f"'{name}' into a module that can be imported wherever the job runs (put it into the "
            "image) and on the machine that launches it, import it from there, and save the model "
            "again"
        )
    return _other_version(file, f"'{name}' of the module '{module}'", module.partition(".")[0])


def check_estimator(file: Path, found: Any, methods: tuple[str, ...]) -> None:
    """Refuses an object that is not an estimator.

    Raises:
      LoadError: it is a Booster, or has none of the methods.
    """
    kind = type(found)
    package = kind.__module__.partition(".")[0]
    if package in _BOOSTERS and kind.__name__ == "Booster":
        raise LoadError(
            f"{file} holds a Booster of {package}, which is not a scikit-learn estimator; save it "
            f"with booster.save_model('{_BOOSTERS[package]}') and set `framework: {package}`"
        )
    if any(hasattr(found, method) for method in methods):
        return
    held = kind.__name__
    if hasattr(found, "fit"):
        raise LoadError(
            f"{file} holds a {held}, which has none of {', '.join(methods)}; {_way_out(found)}"
        )
    if isinstance(found, Mapping):
        keys = [str(key) for key in found]
        held += f" ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"
    raise LoadError(
        f"{file} holds a {held}, not a fitted estimator with any of {', '.join(methods)}; save the "
        "estimator by itself"
    )


def _way_out(estimator: Any) -> str:
    *_, last = [step for _, step in getattr(estimator, "steps", ())] or [estimator]
    if getattr(last, "novelty", None) is False:  # LocalOutlierFactor
        return "it computes only the rows that it is fitted on: fit it with novelty=True"
    for method in ("fit_predict", "fit_transform"):
        if hasattr(estimator, method):
            return (
                f"it computes only the rows that it is fitted on ({method}): fit an estimator that "
                "takes other rows on what it found"
            )
    return "write a class around it for `framework: python`"


def _other_version(file: Path, what: str, package: str) -> LoadError:
    return LoadError(
        f"{file} needs {what}, which the installed {package} does not have: it was saved with "
        f"another version; install that one, or save the model again with this one"
    )
