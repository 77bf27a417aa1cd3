"""Names the installed packages that only frameworks need which an image leaves out.

    pip uninstall --yes $(python leave_out.py "sklearn onnx torch")

The argument names the frameworks to keep. What something else needs stays; `pip check` holds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

# What brings each framework; the two builds of ONNX Runtime have two names.
FRAMEWORKS = {
    "tensorflow": ("tensorflow", "tensorflow-hub", "tf-keras"),
    "torch": ("torch",),
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "sklearn": ("scikit-learn", "skops"),
}


def needed(roots: Iterable[str]) -> set[str]:
    """The roots, such as "apache-beam[gcp]", and all that they need, as far as it is installed."""
    waiting = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = _normal(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen and (found := _requirements(name)) is not None:
                seen.add((name, extra))
                waiting += [r for r in found if not r.marker or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def left_out(kept: Iterable[str], common: Iterable[str]) -> set[str]:
    """What only the other frameworks need. `common`: the requirements of the package itself."""
    unneeded = FRAMEWORKS.keys() - set(kept)
    roots = [root for name in kept for root in FRAMEWORKS[name]]
    return needed(root for name in unneeded for root in FRAMEWORKS[name]) - needed(
        [*common, *roots, "pip", "setuptools", "wheel", "packaging"]
    )


def _requirements(name: str) -> list[Requirement] | None:
    try:
        return [Requirement(line) for line in requires(name) or ()]
    except PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: list[str]) -> int:
    """The exit status: 0, or 2 for a framework that does not exist."""
    kept = arguments[0].split()
    if wrong := set(kept) - FRAMEWORKS.keys():
        known = " ".join(FRAMEWORKS)
        print(f"FRAMEWORKS: found {sorted(wrong)}, expected some of: {known}", file=sys.stderr)
        return 2
    lines = Path("requirements-common.in").read_text().splitlines()
    common = [line for line in lines if line and not line.startswith("#")]
    print(*sorted(left_out(kept, common)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
