"""A task done in a process that may die of it: `python -m pipeline.serving.trial`.

The task is a value that can be pickled, with a method `answer`. Its answer comes back in a form,
never as a pickle, for whatever runs in a model's native code may have written it.
"""

from __future__ import annotations

import json
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import pipeline
from pipeline.batch import wire
from pipeline.errors import ArtifactError, EnsembleError, ModelError
from pipeline.serving.files.local_files import version_files
from pipeline.serving.trial import limited_process
from pipeline.serving.trial.limited_process import Limits

DEFAULT_SECS = 60
_SECS_A_GIB = 60
_BASE_MEMORY_MB = 4096
_MEMORY_FACTOR = 8
"""Most memory by default, beside what the frameworks take, in terms of the files' size."""
_TRIES = 2
"""A time-out or a kill may be the machine's fault."""
_MOST_BYTES = 256 << 20
"""Of what a process leaves. Its answer holds a few rows of each column."""

TASK, ANSWER, PROGRESS, OUTPUT = "task", "answer", "progress", "output"
"""The files of a task, all in one folder."""


class Tell(Protocol):
    """Notes what the process is at: the model, or a line for people."""

    def __call__(self, *, model: str = "", say: str = "") -> None:
        """Notes one of them."""
        ...


class Answer(Protocol):
    """What a task comes to: a dataclass that has a form (see `batch.wire`)."""

    wire_form: ClassVar[str]


class Task(Protocol):
    """What is to be done. Can be pickled."""

    @property
    def frameworks(self) -> Iterable[str]:
        """What has to be imported for it."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU may be seen."""
        ...

    def answer(self, tell: Tell) -> Answer:
        """Does it."""
        ...


_Answer = TypeVar("_Answer", bound=Answer)


class TrialCancelledError(EnsembleError):
    """The job ended while a release was tried; that says nothing of the release."""


@dataclass(frozen=True)
class TrialLimits:
    """What a process may take in which models are tried.

    Attributes:
      cpu_secs: CPU seconds for each model, beside `_SECS_A_GIB` for each GiB of its files; 0 tries
        nothing.
      memory_mb: most memory, in MiB; 0 goes by the size of the files.
    """

    cpu_secs: int = DEFAULT_SECS
    memory_mb: int = 0

    def for_models(self, paths: Iterable[Path]) -> Limits:
        """The limits for some models, by their files on this machine."""
        models = list(paths)
        size = sum(file.size_bytes for path in models for file in version_files(path))
        memory = (self.memory_mb or _BASE_MEMORY_MB) << 20
        if not self.memory_mb:
            memory += _MEMORY_FACTOR * size
        return Limits(len(models) * self.cpu_secs + (_SECS_A_GIB * size >> 30), memory)


def answer_of(
    task: Task,
    form: type[_Answer],
    limits: Limits,
    say: Callable[[str], None] = lambda text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> _Answer:
    """The answer of a process, which is started once more where its end may be chance.

    Args:
      task: what is to be done.
      form: the class of the answer.
      limits: what the process may take.
      say: told what it is at.
      cancelled: whether the job ends.

    Raises:
      ModelError: the process died, and how; names the model that it was at.
      ArtifactError: this machine can try nothing now: it has no room, or too little memory.
      TrialCancelledError: the job ends.
    """
    for rest in reversed(range(_TRIES)):
        with _folder() as name:
            folder = Path(name)
            (folder / TASK).write_bytes(pickle.dumps(task))
            relay = _Relay(folder / PROGRESS, say)
            ended = limited_process.run(
                [sys.executable, "-P", "-m", __package__, name, str(limits.cpu_secs)],
                _environment(task),
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
                    return wire.loads(_read(folder / ANSWER), form)
                except Exception as error:  # whatever runs there may have written it
                    death = f"left no answer: {error}"
            if ended.by_machine and not rest:
                raise ArtifactError(_lack(relay.model, death))
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


def _lack(model: str, reason: str) -> str:
    where = f"model '{model}': " if model else ""
    return (
        f"{where}this machine cannot try it now: the process that loaded and ran it {reason}; that "
        "says nothing of the model: free memory, or use a machine or container with more"
    )


def _environment(task: Task) -> dict[str, str]:
    """That of this process; modules are found where they are found here."""
    above = str(Path(pipeline.__file__).parents[1])
    paths = dict.fromkeys([above, *(str(Path(path).absolute()) for path in sys.path)])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        # What is read beyond a buffer is this byte (mallopt(3)), so that it harms each time.
        "MALLOC_PERTURB_": "165",
    }
    if task.on_cpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment
