"""The process in which a release is tried: ``python -m pipeline.serving.trial FOLDER CPU_SECS``.

It reads what is asked in the folder, tells there what it is at, and leaves an answer, or dies.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Protocol

from pipeline.backends.base import Servable
from pipeline.batch import wire
from pipeline.batch.release import ModelVersion
from pipeline.errors import EnsembleError, LoadError, ModelError
from pipeline.serving import opening
from pipeline.serving.rehearsal import golden
from pipeline.serving.rehearsal.rehearsal import Comparison, Rehearsal, attempt, fed
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial import limited_process
from pipeline.serving.trial.messages import ANSWER, PROGRESS, REQUEST, TrialAnswer, TrialRequest


class _Tell(Protocol):
    """Notes what the process is at: the model, or a line for people."""

    def __call__(self, *, model: str = "", say: str = "") -> None: ...


def main() -> None:
    """Tries what the folder asks for."""
    folder, cpu_secs = Path(sys.argv[1]), int(sys.argv[2])
    limited_process.confine(cpu_secs)
    request: TrialRequest = pickle.loads((folder / REQUEST).read_bytes())
    opening.start(one.spec.framework for one in request.openings.values())
    with (folder / PROGRESS).open("w", buffering=1) as file:

        def tell(*, model: str = "", say: str = "") -> None:
            print(json.dumps({"model": model, "say": say}), file=file)

        answer = _answer(request, tell)
    unfinished = folder / f"{ANSWER}.tmp"
    unfinished.write_bytes(wire.dumps(answer))
    unfinished.rename(folder / ANSWER)
    os._exit(0)  # threads that a model started need not end, nor its library tidy up


def _answer(request: TrialRequest, tell: _Tell) -> TrialAnswer:
    not_loaded = []

    def load(version: ModelVersion) -> Servable:
        found = request.openings.get(version)
        if found is None:
            raise LoadError("is not tried, and what it gives is not known")
        tell(model=version.model)
        try:
            with opening.told_by_uri(found.path, request.uris.get(version)):
                return found()
        except EnsembleError:
            not_loaded.append(version.model)
            raise

    manager = ReleaseManager(load)
    comparison = Comparison(
        request.call_rows,
        request.records,
        lambda version: request.examples.get(version, ()),
        given=request.given,
    )
    rehearsal, problems = attempt(
        request.graph, request.release, manager, lambda text: tell(say=text), comparison
    )
    if not problems:
        problems = _example_problems(request, rehearsal, manager, tell)
    return TrialAnswer.of(rehearsal, problems, not_loaded)


def _example_problems(
    request: TrialRequest, rehearsal: Rehearsal, manager: ReleaseManager, tell: _Tell
) -> list[str]:
    problems = []
    for version, examples in request.examples.items():
        spec = request.graph.spec.model(version.model)
        tell(model=spec.name)
        try:
            with manager.use(request.release, spec.name) as servable:
                golden.check(examples, spec, servable, fed(spec, rehearsal))
        except ModelError as error:
            problems.append(f"model '{spec.name}' at {version.uri}: {error}")
    return problems


if __name__ == "__main__":
    main()
