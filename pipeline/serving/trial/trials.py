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
import os
import pickle
import platform
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path

import pipeline
from pipeline.backends.base import LoadContext
from pipeline.backends.user_class import source_of
from pipeline.batch import wire
from pipeline.batch.columns import Column
from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ArtifactError, EnsembleError, ModelError
from pipeline.serving.files.artifacts import Fetched
from pipeline.serving.files.local_files import digest_of, version_files
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal import golden
from pipeline.serving.trial import limited_process
from pipeline.serving.trial.limited_process import Limits
from pipeline.serving.trial.messages import (
    ANSWER,
    OUTPUT,
    PROGRESS,
    REQUEST,
    TrialAnswer,
    TrialRequest,
)
from pipeline.spec.graph import Graph

DEFAULT_SECS = 60
_SECS_A_GIB = 60
_BASE_MEMORY_MB = 4096
_MEMORY_FACTOR = 8
"""Most memory by default, beside what the frameworks take, in terms of the files' size."""
_TRIES = 2
"""A time-out or a kill may be the machine's fault."""
_REMEMBERED_SECS = 90 * 24 * 3600
_MOST_BYTES = 256 << 20
"""Of what a trial leaves. Its answer holds a few rows of each column."""
_GPU = Path("/dev/nvidiactl")


class TrialCancelledError(EnsembleError):
    """The job ended while a release was tried; that says nothing of the release."""


@dataclass(frozen=True)
class Trials:
    """Tries releases of one ensemble. Can be pickled.

    Attributes:
      graph: the ensemble.
      loader: loads the models where they serve.
      records: see Comparison.
      cpu_secs: CPU seconds for each model that is tried, beside `_SECS_A_GIB` for each GiB of its
        files; 0 tries nothing.
      memory_mb: most memory of one, in MiB; 0 goes by the size of the files.
    """

    graph: Graph
    loader: FrameworkLoader
    records: Mapping[str, Column] = field(default_factory=dict, compare=False, repr=False)
    cpu_secs: int = DEFAULT_SECS
    memory_mb: int = 0

    def __call__(
        self,
        release: Release,
        found: Mapping[ModelVersion, Fetched],
        examples: Mapping[ModelVersion, Sequence[golden.Example]],
        given: Callable[[], Mapping[str, Column]] = dict,
        say: Callable[[str], None] = lambda text: None,
        cancelled: Callable[[], bool] = lambda: False,
        again: bool = False,
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

        Returns:
          what the trial process learnt, which found no harm; None where nothing was tried.

        Raises:
          ModelError: the trial process died, and how; or models could not be loaded there. Those
            are not loaded where they serve either: damage may raise one time and kill another.
          ArtifactError: this machine can try nothing now, or the files were changed meanwhile.
          TrialCancelledError: the job ends.
        """
        if not self.cpu_secs or (self._are_known(found) and not again):
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
        )
        answer = self._answer(request, self._limits(found), say, cancelled)
        if answer.not_loaded:
            raise ModelError(answer.problems)
        for one in found.values():
            one.check_unchanged()  # else other files were tried than those of the digest
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
            answer = _tried(_on_cpu(request), limits, say, cancelled)
        except ModelError:
            if not may_need_gpu:
                raise
        else:
            if not (answer.problems and may_need_gpu):
                return answer
        return _tried(_alone(request), limits, say, cancelled)

    def _limits(self, found: Mapping[ModelVersion, Fetched]) -> Limits:
        files = [file for one in found.values() for file in version_files(one.path)]
        size = sum(file.size_bytes for file in files)
        memory = (self.memory_mb or _BASE_MEMORY_MB) << 20
        if not self.memory_mb:
            memory += _MEMORY_FACTOR * size
        return Limits(len(found) * self.cpu_secs + (_SECS_A_GIB * size >> 30), memory)

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


def _tried(
    request: TrialRequest,
    limits: Limits,
    say: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> TrialAnswer:
    """The answer of a trial process, which is started once more where its end may be chance."""
    for rest in reversed(range(_TRIES)):
        with _folder() as name:
            folder = Path(name)
            (folder / REQUEST).write_bytes(pickle.dumps(request))
            relay = _Relay(folder / PROGRESS, say)
            ended = limited_process.run(
                [sys.executable, "-P", "-m", __package__, name, str(limits.cpu_secs)],
                _environment(request),
                folder / OUTPUT,
                limits,
                look=relay,
                cancelled=cancelled,
            )
            if cancelled():
                raise TrialCancelledError("the job ended while the release was tried")
            death = ended.reason
            if death is None:
                try:
                    return wire.loads(_read(folder / ANSWER), TrialAnswer)
                except Exception as error:  # whatever runs there may have written it
                    death = f"left no answer: {error}"
            if not (ended.by_chance and rest):
                raise ModelError(_death(relay.model, death, ended.said))
            say(f"the process that tries {_called(relay.model)} {death}; it is tried once more")
    raise AssertionError("the last try returns or raises")


@contextmanager
def _folder() -> Iterator[str]:
    """A folder for the files of one trial.

    Raises:
      ArtifactError: this machine has no room for it, or for the process.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="trial-", ignore_cleanup_errors=True) as name:
            yield name
    except OSError as error:
        raise ArtifactError(f"no release can be tried on this machine: {error}") from error


def _read(file: Path, start: int = 0) -> bytes:
    """A file that the trial left, from a place on; it may be anything.

    Raises:
      OSError: it is not there, or no plain file.
      ValueError: it is too large.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise ValueError(f"no file of at most {_MOST_BYTES:,} bytes")
        opened.seek(start)
        return opened.read(_MOST_BYTES)


class _Relay:
    """Passes on what a trial process says, and knows which model it is at."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self.model = ""
        self._file = file
        self._say = say
        self._read = 0

    def __call__(self) -> None:
        with suppress(Exception):  # whatever runs there may write this file
            *lines, _ = _read(self._file, self._read).split(b"\n")
            for line in lines:
                self._read += len(line) + 1
                said = json.loads(line)
                self.model = str(said["model"] or self.model)
                if said["say"]:
                    self._say(f"trial: {said['say']}")


def _called(model: str) -> str:
    return f"model '{model}'" if model else "the release"


def _death(model: str, reason: str, said: str) -> str:
    where = f"model '{model}': " if model else ""
    words = f" (it said: {said})" if said else ""
    return (
        f"{where}the process that loaded and ran it for a trial {reason}{words}; the files may be "
        "damaged or made to do harm: save the model anew, or, if it needs more, raise "
        "--trial_secs or --trial_memory_mb"
    )


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


def _environment(request: TrialRequest) -> dict[str, str]:
    """That of this process; modules are found where they are found here."""
    above = str(Path(pipeline.__file__).parents[1])
    paths = dict.fromkeys([above, *(str(Path(path).absolute()) for path in sys.path)])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        # What is read beyond a buffer is this byte (mallopt(3)), so that it harms each time.
        "MALLOC_PERTURB_": "165",
    }
    if all(opening.context.device == "cpu" for opening in request.openings.values()):
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


@cache
def _installed() -> str:
    """The software that loads models: this project's and all that is installed."""
    found = sorted(f"{one.name} {one.version}" for one in metadata.distributions())
    return hashlib.sha256("\n".join(found).encode()).hexdigest()
