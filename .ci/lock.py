"""Writes exact pins of everything that pip would install for a requirements file, with hashes.

Usage: python .ci/lock.py requirements.in requirements.txt

pip chooses the versions; uv, beside the Python that runs this, looks up the hashes of all files
that the index has of them. One version of PyTorch has two builds in two indexes, and one of them
may be out of reach. So requirements.txt leaves it to requirements-torch.txt, which is written by
hand, and with it what only its build for GPUs needs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HASH = re.compile(r"( \\)?\n? +--hash=\S+")
_OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
_HEAD = "# Made from {} by `make lock`; change that one.\n"


def main(source: str, target: str) -> None:
    """Resolves `source` from scratch and writes `target`, without the pins it is constrained by."""
    found = {_normal(name): version for name, version in _resolved(source).items()}
    for line in Path(source).read_text().splitlines():
        if line.startswith("-c "):
            pinned = _without_hashes(Path(line[3:])).splitlines()
            found = {n: v for n, v in found.items() if f"{n}=={v}" not in pinned}
    if target == "requirements.txt":
        found = {name: v for name, v in found.items() if not _OF_TORCH.fullmatch(name)}
    pins = [f"{name}=={found[name]}" for name in sorted(found)]
    Path(target).write_text(_HEAD.format(source) + hashed("\n".join(pins)))
    print(f"{target}: {len(pins)} pins")


def hashed(pins: str) -> str:
    """The pins, one a line, each followed by lines with the hashes of all its files."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise SystemExit("uv is not beside this Python: run `make lock`")
    command = [uv, "pip", "compile", "--quiet", "--no-deps", "--generate-hashes", "--no-annotate"]
    command += ["--no-header", "--python-version=3.11", "--python-platform=linux", "-"]
    return subprocess.run(command, input=pins, check=True, stdout=subprocess.PIPE, text=True).stdout


def _resolved(source: str) -> dict[str, str]:
    """Name -> version of all that is needed. Hashes would tie pip to the versions they are of."""
    with tempfile.TemporaryDirectory() as folder:
        for file in Path().glob("requirements*"):
            (Path(folder) / file.name).write_text(_without_hashes(file))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        report = subprocess.run(
            [*command, "--quiet", "--report", "-", "-r", source],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
    return {
        item["metadata"]["name"]: item["metadata"]["version"].split("+")[0]  # no +cpu: any build
        for item in json.loads(report.stdout)["install"]
    }


def _normal(name: str) -> str:
    """The name as uv writes it, by the rule for names of packages."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _without_hashes(file: Path) -> str:
    return _HASH.sub("", file.read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
