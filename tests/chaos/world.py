"""What is around the stream of a soak: records that come in, models that come and go."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import models

Put = Callable[[str, bytes], None]
"""(path below the root, content) -> a file or an object is there, whole."""
MODELS = ("left", "right")
_CORRUPT = (
    lambda whole: b"",
    lambda whole: whole[: len(whole) // 2],
    lambda whole: b"no model\n" * 50,
)


@dataclass
class Versions:
    """The versions of the models: ``MODEL/N/model.onnx``, of the scale N.

    Attributes:
      root: of what `put` writes, as the job sees it.
      put: writes a file.
      scratch: a folder of our own.
      newest: model -> its newest version.
      corrupt: model and version of what must never serve.
    """

    root: str
    put: Put
    scratch: Path
    newest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MODELS, 0))
    corrupt: set[tuple[str, str]] = field(default_factory=set)
    _proposals: int = 0

    def add(self, model: str) -> None:
        """Adds a version, whole."""
        number = self._next(model)
        self.put(f"{model}/{number}/model.onnx", self._file(number))

    def add_slowly(self, model: str, secs: float) -> None:
        """Adds a version, of which the first half is there for a while before all of it is."""
        number = self._next(model)
        whole = self._file(number)
        self.put(f"{model}/{number}/model.onnx", whole[: len(whole) // 2])
        threading.Event().wait(secs)
        self.put(f"{model}/{number}/model.onnx", whole)

    def add_corrupt(self, model: str, draw: float) -> None:
        """Adds a version that is none."""
        number = self._next(model)
        self.corrupt.add((model, str(number)))
        spoil = _CORRUPT[int(draw * len(_CORRUPT))]
        self.put(f"{model}/{number}/model.onnx", spoil(self._file(number)))

    def roll_back(self) -> None:
        """Asks for the release before."""
        self._proposals += 1
        self.put(f"proposed/{self._proposals:05d}.json", b'{"rollback": true}')

    def _next(self, model: str) -> int:
        self.newest[model] += 1
        return self.newest[model]

    def _file(self, number: int) -> bytes:
        return models.onnx_file(self.scratch / str(number), scale=number).read_bytes()


@dataclass
class Feed:
    """Sends records from a thread of its own, a few now and many then, with broken lines between.

    Attributes:
      send: lines to the job, in one piece.
      seed: of what is sent.
      rows, broken: see `audit.Sent`.
    """

    send: Callable[[list[str]], None]
    seed: int
    rows: dict[str, list[float]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; what was begun was sent."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._chance.uniform(0.1, 0.9)):
            count = self._chance.choice((1, 5, 20, 20, 300))
            self.send([self._line() for _ in range(count)])

    def _line(self) -> str:
        if self._chance.random() < 0.02:
            self.broken.append(f'{{"id": "broken {len(self.broken)}", "x": [1, ')
            return self.broken[-1]
        record_id = f"r{len(self.rows)}"
        self.rows[record_id] = [round(self._chance.uniform(-9, 9), 3) for _ in range(4)]
        return json.dumps({"id": record_id, "x": self.rows[record_id]})


def releases_of(texts: Iterable[bytes]) -> dict[int, dict[str, str]]:
    """Generation -> model -> version, from the files of a release log."""
    found = {}
    for text in texts:
        data = json.loads(text)
        models_of = data["models"].items()
        found[data["generation"]] = {name: one["uri"].split("/")[-1] for name, one in models_of}
    return found
