"""Writes exact pins of everything that pip would install for a requirements file.

Usage: python .ci/lock.py requirements.in requirements.txt
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main(source: str, target: str) -> None:
    """Resolves `source` from scratch and writes `target`, without the pins it is constrained by."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    report = subprocess.run(
        [*command, "--report", "-", "-r", source], check=True, capture_output=True, text=True
    )
    found = {
        item["metadata"]["name"]: item["metadata"]["version"].split("+")[0]  # no +cpu: any build
        for item in json.loads(report.stdout)["install"]
    }
    for line in Path(source).read_text().splitlines():
        if line.startswith("-c "):
            pinned = Path(line[3:]).read_text().lower().splitlines()
            found = {n: v for n, v in found.items() if f"{n}=={v}".lower() not in pinned}
    lines = [f"{name}=={found[name]}" for name in sorted(found, key=str.lower)]
    head = [f"# Made from {source} by `make lock`; change that one."]
    Path(target).write_text("\n".join(head + lines) + "\n")
    print(f"{target}: {len(lines)} pins")


if __name__ == "__main__":
    main(*sys.argv[1:])
