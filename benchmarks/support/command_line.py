"""Options that all benchmarks have."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from benchmarks.support.repository import ROOT

_PLACES = ("--docs", "--folder")


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows ``--quick`` and ``--docs``, a document beside which pictures go."""
    made = argparse.ArgumentParser(prog=f"python -m {_module()}", description=description)
    made.add_argument("--quick", action="store_true", help="a smoke run; publishes no figures")
    made.add_argument("--docs", default=ROOT / "docs" / "benchmarks.md", type=Path)
    return made


def used() -> str:
    """The command line of this process as the document shows it: without places of files."""
    shown: list[str] = []
    given = iter(sys.argv[1:])
    for argument in given:
        if argument in _PLACES:
            next(given, None)  # which it has as its value
        elif not argument.startswith(tuple(f"{place}=" for place in _PLACES)):
            shown.append(argument)
    return shlex.join(["python", "-m", _module(), *shown])


def parser_with_folder(description: str) -> argparse.ArgumentParser:
    """The same with ``--folder``, where workloads have their records and models."""
    made = parser(description)
    made.add_argument("--folder", default=ROOT / "build" / "benchmarks", type=Path)
    return made


def _module() -> str:
    """What `python -m` was given: a module, or a package for its `__main__`."""
    parts = Path(sys.argv[0]).resolve().with_suffix("").parts
    return ".".join(parts[len(ROOT.parts) :]).removesuffix(".__main__")
