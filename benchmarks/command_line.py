"""Options that all benchmarks have."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from repository import ROOT


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows ``--quick`` and ``--docs``, a document beside which pictures go."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="a smoke run; publishes no figures")
    made.add_argument("--docs", default=ROOT / "docs" / "benchmarks.md", type=Path)
    return made


def used() -> str:
    """The command line of this process as the document shows it: without places of files."""
    script, *arguments = sys.argv
    shown = [a for a in arguments if not a.startswith(("--docs=", "--folder="))]
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *shown])


def parser_with_folder(description: str) -> argparse.ArgumentParser:
    """The same with ``--folder``, where workload.py puts records and models."""
    made = parser(description)
    made.add_argument("--folder", default=ROOT / "build" / "benchmarks", type=Path)
    return made
