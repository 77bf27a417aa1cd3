"""Trials: what was not accepted before is loaded in a process that may die of it.

Native code reads most model files. A file that was cut off or made up ends the process that loads
it, takes all memory or never comes back, and no exception tells of it. So a release is loaded and
rehearsed in a child process first, on the CPU. Only then, and only if that process answered, the
models are loaded where they serve. What the child answers of shapes and outputs decides nothing
there: the rehearsal is repeated on the device that serves.

A version that did no harm is remembered on this machine, so that the next launch need not try it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from pipeline.backends.base import LoadContext
from pipeline.backends.user_class import source_of
from pipeline.batch.columns import BatchColumn
from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ModelError
from pipeline.serving.files.artifacts import Fetched
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal import golden
from pipeline.serving.trial.apart import TrialLimits, answer_of
from pipeline.serving.trial.limited_process import Limits
from pipeline.serving.trial.messages import TrialAnswer, TrialRequest
from pipeline.spec.graph import Graph

_REMEMBERED_SECS = 90 * 24 * 3600
_GPU = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class Trials:
    """Tries releases of one ensemble. Can be pickled.

    Attributes:
      graph: the ensemble.
      loader: loads the models where they serve.
      records: see Comparison.
      limits: what the process may take that tries them.
    """

    graph: Graph
    loader: FrameworkLoader
    records: Mapping[str, BatchColumn] = field(default_factory=dict, compare=False, repr=False)
    limits: TrialLimits = field(default_factory=TrialLimits)

    def __call__(
        self,
        release: Release,
        found: Mapping[ModelVersion, Fetched],
        examples: Mapping[ModelVersion, Sequence[golden.Example]],
        given: Callable[[], Mapping[str, BatchColumn]] = dict,
        say: Callable[[str], None] = lambda text: None,
        cancelled: Callable[[], bool] = lambda: False,
        again: bool = False,
        runs: bool = True,
    ) -> TrialAnswer | None:
        """Tries some versions of a release.

        Args:
          release: of which they are.
          found: the versions and their files, which must stay meanwhile.
          examples: those that come with them.
          given: makes the columns of the other models.
          say: told what the trial is at.
          again: also what is known to do no harm.
          cancelled: whether the job ends.
          runs: whether rows go through the models; without it no version is remembered as harmless.

        Returns:
          what the trial process learnt, which found no harm; None where nothing was tried.

        Raises:
          ModelError: the trial process died, and how; or models could not be loaded there. Those
            are not loaded where they serve either: damage may raise one time and kill another.
          ArtifactError: this machine can try nothing now, or the files were changed meanwhile.
          TrialCancelledError: the job ends.
        """
        if not self.limits.cpu_secs or (self._are_known(found) and not again):
            return None
        request = TrialRequest(
            self.graph,
            release,
            {version: self.loader.opening(version, one) for version, one in found.items()},
            {version: version.uri for version, one in found.items() if one.is_copy},
            self.loader.call_rows,
            self.records,
            examples,
            given(),
            runs,
        )
        limits = self.limits.for_models(one.path for one in found.values())
        answer = self._answer(request, limits, say, cancelled)
        if answer.not_loaded:
            raise ModelError(answer.problems)
        for one in found.values():
            one.check_unchanged()  # else other files were tried than those of the digest
        if runs:
            self._remember(found)
        return answer

    def _answer(
        self,
        request: TrialRequest,
        limits: Limits,
        say: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> TrialAnswer:
        """What is learnt on the CPU, or on the GPU where a model may need it."""
        may_need_gpu = not self.loader.cpu_only and _GPU.exists()
        try:
            answer = answer_of(_on_cpu(request), TrialAnswer, limits, say, cancelled)
        except ModelError:
            if not may_need_gpu:
                raise
        else:
            if not (answer.problems and may_need_gpu):
                return answer
        return answer_of(_alone(request), TrialAnswer, limits, say, cancelled)

    def _are_known(self, found: Mapping[ModelVersion, Fetched]) -> bool:
        folder = own_folder("trials")
        return all((folder / self._key(version)).exists() for version in found)

    def _remember(self, found: Mapping[ModelVersion, Fetched]) -> None:
        folder = own_folder("trials")
        with suppress(OSError):
            for old in folder.iterdir():
                if old.stat().st_mtime < time.time() - _REMEMBERED_SECS:
                    old.unlink(missing_ok=True)
            for version in found:
                (folder / self._key(version)).touch()

    def _key(self, version: ModelVersion) -> str:
        """What a verdict holds for: these files, loaded so, by this software, here."""
        spec = self.graph.spec.model(version.model)
        entry = spec.model_dump(mode="json")
        code = ""
        if spec.artifact_uri == spec.uri:
            del entry["uri"]  # where the files lie tells nothing; what is in them, the digest
        else:
            code = digest_of(source_of(spec.uri))
        told = [version.digest, entry, code, _installed(), sys.version, platform.node()]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _on_cpu(request: TrialRequest) -> TrialRequest:
    return _with_contexts(request, lambda context: replace(context, device="cpu", shared=False))


def _alone(request: TrialRequest) -> TrialRequest:
    return _with_contexts(request, lambda context: replace(context, shared=False))


def _with_contexts(
    request: TrialRequest, change: Callable[[LoadContext], LoadContext]
) -> TrialRequest:
    openings = {
        version: replace(opening, context=change(opening.context))
        for version, opening in request.openings.items()
    }
    return replace(request, openings=openings)


@cache
def _installed() -> str:
    """The software that loads models: this project's and all that is installed."""
    found = sorted(f"{one.name} {one.version}" for one in metadata.distributions())
    return hashlib.sha256("\n".join(found).encode()).hexdigest()
