"""From the files of a model version to its servable, in whatever process holds it, and back."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.backends import registry
from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import loading
from pipeline.backends.filled import FilledServable, PairedServable
from pipeline.batch.release import ModelVersion
from pipeline.errors import ArtifactError, DeviceError, LoadError
from pipeline.readable import logger
from pipeline.serving import interpreter
from pipeline.serving.merging import MergingServable
from pipeline.spec.model import ModelSpec

_LOGGER = logger(__name__)


@dataclass(frozen=True)
class Opening:
    """Everything needed to open a version whose files are on this machine. Can be pickled.

    Attributes:
      path: the local file or folder.
      spec: the model's entry.
      context: what the process that opens it grants the model.
    """

    path: Path
    spec: ModelSpec
    context: LoadContext

    def __call__(self) -> Servable:
        """Opens it.

        Calls are filled up on a GPU, and calls of one row where it cannot take one. Those of
        several threads are merged.

        Raises:
          ArtifactError: its files are untrusted or broken.
          DeviceError: the device that it must run on is not there.
        """
        kind = f"a model of the framework '{self.spec.framework}'"
        # Backends say it better where they can; what a damaged file makes them raise is endless.
        with interpreter.shared(), loading(self.path, kind):
            servable = registry.load(self.path, self.spec, self.context)
        if servable.signature.fixed_batch_rows:
            return servable
        batched, call_rows = self.spec.batched_inputs, self.context.call_rows
        on_gpu = servable.device != "cpu"
        if on_gpu and not isinstance(servable, FilledServable):
            servable = FilledServable(servable, batched, call_rows, between=True)
        if call_rows > 1:
            servable = PairedServable(servable, batched, self.spec.outputs)
        if not self.context.shared:
            return servable
        return MergingServable(
            servable,
            batched,
            call_rows,
            servable.calls_at_once,
            only_full=on_gpu,
            independent=self.spec.independent_rows,
        )


@contextmanager
def told_by_uri(path: Path, uri: str | None) -> Iterator[None]:
    """Around what opens a copy: errors name it by what it is a copy of, which is what users know.

    Args:
      path: of the files.
      uri: what they are a copy of; None where they are used in place.
    """
    try:
        yield
    except (ArtifactError, DeviceError) as error:
        if uri is None:
            raise
        raise type(error)(str(error).replace(str(path), uri)) from error


Sharing = Callable[[ModelVersion, Opening], Servable]
"""Makes a servable that computes with the copy of a version that the processes of a machine share.

The copy is opened where no process asked for it before, and freed when each has closed its servable
or ended. Raises an ArtifactError or DeviceError as `Opening` does, or where nothing can be shared.
"""


def start(frameworks: Iterable[str]) -> None:
    """Imports frameworks, before any model is loaded; what is missing is told by loads."""
    with interpreter.importing():
        for framework in dict.fromkeys(frameworks):
            with suppress(LoadError):
                registry.backend(framework).start()
    interpreter.settle()


def free(servables: list[Servable]) -> None:
    """Closes and forgets servables, even those that hang together in cycles (Keras models do).

    What closing one raises is logged, and keeps nothing else from being freed.
    """
    if not servables:
        return
    while servables:
        try:
            servables.pop().close()  # no name may hold it any more below
        except Exception:
            _LOGGER.warning("a model cannot be closed", exc_info=True)
    gc.collect()


def forget_locals(error: BaseException) -> None:
    """Drops the local variables of the functions that an error came through.

    Who keeps the error to tell of it would otherwise keep the half-loaded model that it ended.
    """
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        chain += [one.__cause__, one.__context__]
