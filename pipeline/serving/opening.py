"""From the files of a model version to its servable, in whatever process holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.backends import registry
from pipeline.backends.base import LoadContext, Servable
from pipeline.core.model_spec import ColumnInput, ModelSpec
from pipeline.serving import interpreter
from pipeline.serving.merging import MergingServable


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
        """Opens it; calls of several threads are merged, where there may be any.

        Raises:
          ArtifactError: its files are untrusted or broken.
          DeviceError: the device that it must run on is not there.
        """
        with interpreter.shared():
            servable = registry.backend(self.spec.framework).load(
                self.path, self.spec, self.context
            )
        if not self.context.shared or servable.signature.fixed_batch_rows:
            return servable
        batched = [t for t, binding in self.spec.inputs.items() if isinstance(binding, ColumnInput)]
        # Calls that keep their device busy alone only get in each other's way.
        alone = servable.uses_threads or servable.device != "cpu"
        concurrency = 1 if alone else self.context.intra_op_threads
        return MergingServable(servable, batched, self.context.max_rows, concurrency)
