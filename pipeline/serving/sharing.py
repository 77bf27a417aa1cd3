"""Models with ``model_sharing: vm``: one copy for all processes of a machine."""

from __future__ import annotations

from typing import Protocol

from pipeline.backends.base import Servable
from pipeline.core.release import ModelVersion
from pipeline.serving.opening import Opening


class Sharing(Protocol):
    """Finds the copy that the processes of this machine share. Can be pickled."""

    def __call__(self, version: ModelVersion, opening: Opening) -> Servable:
        """A servable that computes with the machine's copy of `version`.

        The copy is opened where no process asked for it before, and freed when each has closed its
        servable, or ended.

        Raises:
          ArtifactError: as from `opening`, or it cannot be shared here.
        """
        ...
