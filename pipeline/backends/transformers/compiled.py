"""Models as programs of PyTorch's compiler: `compile: true`.

A program is made before the model serves, for any number of rows and of tokens, and another for a
single row, which the compiler treats apart. While it serves, nothing is compiled: a call that the
programs do not take (a picture of another size) is computed without them.

Source: https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/torch.compiler.html
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.failures import is_out_of_memory, needs_package
from pipeline.backends.reasons import own_words
from pipeline.batch import rounding
from pipeline.errors import LoadError

Arguments = Mapping[str, Any]
"""Of a model's `forward`, tensors of its device."""


def check_compiler(path: Path, device: str) -> None:
    """Makes sure that what PyTorch's compiler needs is installed.

    Args:
      path: of the model.
      device: torch's name of the one that it runs on.

    Raises:
      LoadError: it is not.
    """
    compiler = os.environ.get("CXX", "g++")
    missing = None if shutil.which(compiler) else f"the command '{compiler}'"
    if missing is None and not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing = "Python.h"
    if missing is not None:
        raise LoadError(
            f"{path}: `compile: true` needs a C++ compiler, and {missing} is missing here; install "
            "it (apt-get install g++ python3-dev; into an image that is built on this project's), "
            "or remove the key"
        )
    if device != "cpu":
        with needs_package("triton"):
            import triton  # type: ignore[import-untyped,unused-ignore]  # noqa: F401


def keep_programs(folder: Path | None) -> None:
    """Has PyTorch keep what it compiles in a folder, unless the environment names another one.

    Its own is one in the folder of temporary files, which another user may have made first; it
    runs what it finds there.

    Args:
      folder: None changes nothing.
    """
    if folder is not None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


class Program:
    """A model that can be compiled.

    Args:
      model: transformers' object, in inference mode.
    """

    def __init__(self, model: Any) -> None:
        import torch

        self._calls_without = calls_without = {"found": False}

        def forward(**arguments: Any) -> Any:
            if not torch.compiler.is_compiling():
                calls_without["found"] = True  # no program has this line
            return model(**arguments)

        # Programs are kept with the code object. One of its own keeps them apart from those of
        # other models, and frees them with this one.
        forward.__code__ = forward.__code__.replace()
        self._model = model
        self._compiling = torch.compile(forward, fullgraph=True)
        self._running = torch._dynamo.run(forward)

    def make(self, path: Path, examples: Sequence[Arguments], tolerance: float) -> None:
        """Compiles the model, and compares what the programs give with what it gives itself.

        Args:
          path: of the model.
          examples: arguments of two rows, of one, of few tokens and of many.
          tolerance: see `rounding`.

        Raises:
          LoadError: the model cannot be compiled, or computes something else then.
        """
        import torch

        for arguments in examples:
            axes = 2 if "input_ids" in arguments else 1
            for tensor in arguments.values():
                for axis in range(axes):
                    if tensor.shape[axis] > 1:
                        torch._dynamo.mark_dynamic(tensor, axis)
            try:
                self._compiling(**arguments)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise LoadError(
                    f"{path} cannot be compiled ({own_words(error)}); expected no `compile: true`"
                ) from error
            self._calls_without["found"] = False
            made = self(arguments)
            if self._calls_without["found"]:
                raise LoadError(
                    f"{path} cannot be compiled (PyTorch does not take its program where it was "
                    "made); expected no `compile: true`"
                )
            _compare(path, made, self._model(**arguments), tolerance)

    def __call__(self, arguments: Arguments) -> Any:
        """What the model returns."""
        return self._running(**arguments)


def _compare(path: Path, found: Any, expected: Any, tolerance: float) -> None:
    for name, tensor in expected.items():
        if not hasattr(tensor, "is_floating_point") or not tensor.is_floating_point():
            continue
        one, other = (result[name].float().numpy(force=True) for result in (found, expected))
        place = rounding.worst(one, other, tolerance)
        if place is not None:
            raise LoadError(
                f"{path} gives other results once compiled: {one[place]:.6g} in '{name}', expected "
                f"{other[place]:.6g}; expected no `compile: true`"
            )
