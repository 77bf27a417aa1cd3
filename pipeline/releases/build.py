"""Which build this is: a verdict may be another one's once the software has changed."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

import pipeline


@cache
def build_id() -> str:
    """A short name of this program and all packages beside it."""
    told = hashlib.sha256()
    for name in sorted(f"{one.name} {one.version}" for one in metadata.distributions()):
        told.update(f"{name}\n".encode())
    root = Path(str(pipeline.__file__)).parent
    for path in sorted(root.rglob("*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()[:12]
