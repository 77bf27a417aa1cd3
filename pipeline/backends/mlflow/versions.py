"""Whether the packages that an MLflow model was saved with are those that are installed here."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

_PIN = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*==\s*([\w.!+-]+)")
_SHOWN = 8


def differing(folder: Path, python_version: str | None) -> str:
    """What was another version when the model was saved, beside what it is here; empty if nothing.

    As in "scikit-learn 1.2.0 (here 1.9.1)". Packages that are not installed here do not count: what
    a file needs of them is told when it is loaded.

    Args:
      folder: with a requirements.txt.
      python_version: of the process that saved it, if that is known.
    """
    found = []
    if python_version is not None and _minor(python_version) != _minor(platform.python_version()):
        found.append(f"Python {python_version} (here {platform.python_version()})")
    for name, version in _pins(folder / "requirements.txt").items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if _public(here) != _public(version):
            found.append(f"{name} {version} (here {here})")
    more = len(found) - _SHOWN
    return ", ".join(found[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _pins(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    lines = file.read_text(errors="replace").splitlines()
    pins = (match for line in lines if (match := _PIN.match(line)))
    return {match[1]: match[2] for match in pins}


def _public(version: str) -> str:
    """A version without its build, such as +cpu, and without zeros at its end."""
    return re.sub(r"(\.0)+$", "", version.partition("+")[0])


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
