"""The process in which models are tried: ``python -m pipeline.serving.trial FOLDER CPU_SECS``.

It reads what is asked in the folder, tells there what it is at, and leaves an answer, or dies.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

from pipeline.batch import wire
from pipeline.serving import opening
from pipeline.serving.trial import limited_process
from pipeline.serving.trial.apart import ANSWER, PROGRESS, TASK, Task


def main() -> None:
    """Does what the folder asks for."""
    folder, cpu_secs = Path(sys.argv[1]), int(sys.argv[2])
    limited_process.confine(cpu_secs)
    # A pickle of the process that started this one.
    task: Task = pickle.loads((folder / TASK).read_bytes())
    opening.start(task.frameworks)
    with (folder / PROGRESS).open("w", buffering=1) as file:

        def tell(*, model: str = "", say: str = "") -> None:
            print(json.dumps({"model": model, "say": say}), file=file)

        answer = task.answer(tell)
    unfinished = folder / f"{ANSWER}.tmp"
    unfinished.write_bytes(wire.dumps(answer))
    unfinished.rename(folder / ANSWER)
    os._exit(0)  # threads that a model started need not end, nor its library tidy up


if __name__ == "__main__":
    main()
