"""The order in which native libraries are loaded into a process, whoever imports them.

TensorFlow loads its libraries with RTLD_GLOBAL, and they export the LLVM that they hold. Triton
(with PyTorch, wherever that is built for GPUs) brings another LLVM: loaded later, it calls into
TensorFlow's, and the process dies by SIGSEGV. Loaded before, each calls its own. PyTorch imports
Triton late: with transformers, at `torch.compile`, at some loads.

So the import of TensorFlow itself keeps the order: user code and other packages may import it as
well as the backend.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

BEFORE = {"tensorflow": ("triton",)}
"""Package -> those that must be loaded before it, where they are installed."""


class _Before(MetaPathFinder):
    """Finds nothing; imports what must be there before the package that is looked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for package in BEFORE.get(fullname, ()):
            with suppress(Exception):  # not installed, or broken: PyTorch does without it, too
                importlib.import_module(package)
        return None


def keep_import_order() -> None:
    """Keeps the order from here on: to be called before a framework is imported.

    Idempotent. `pipeline.backends` calls it when it is imported. Triton costs 0.3 s, a twentieth of
    TensorFlow's import, and 15 MB: always paid with TensorFlow, where Triton is installed, because
    nobody knows what a user's class imports later.
    """
    if not any(isinstance(finder, _Before) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Before())
