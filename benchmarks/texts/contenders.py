"""Who computes texts: this project's models, and the libraries' own calls."""

from __future__ import annotations

import json
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.repository import ROOT
from benchmarks.texts import environment
from pipeline.backends.base import LoadContext
from pipeline.backends.registry import backend
from pipeline.spec.model import TransformersModel
from pipeline.spec.row_limits import DEFAULT_ROWS

BATCH = 32
NEW_TOKENS = 20


@dataclass(frozen=True)
class Took:
    """Seconds of one run, by the clock and of the processor."""

    secs: float
    cpu_secs: float


class Contender(ABC):
    """Computes all texts, again and again.

    Attributes:
      found: what the last run gave, a row for each text.
    """

    found: Any = None

    def run(self) -> Took:
        """Computes the texts once."""
        began, used = time.perf_counter(), time.process_time()
        self.found = self.computed()
        return Took(time.perf_counter() - began, time.process_time() - used)

    @abstractmethod
    def computed(self) -> Any:
        """The results of all texts."""

    def close(self) -> None:  # noqa: B027  # most have nothing to free
        """Ends what it started."""


class Project(Contender):
    """This project's model, called with batches as a job calls it."""

    def __init__(
        self, folder: Path, texts: Sequence[str], threads: int, keys: Mapping[str, Any]
    ) -> None:
        (self._output,) = keys["outputs"]
        spec = TransformersModel(
            name="m", uri="m", framework="transformers", inputs={"text": "text"}, **keys
        )
        context = LoadContext("cpu", threads, call_rows=DEFAULT_ROWS)
        self._servable = backend("transformers").load(folder, spec, context)
        self._texts = np.array(texts, dtype=object)

    def computed(self) -> Any:
        """See Contender."""
        starts = range(0, len(self._texts), DEFAULT_ROWS)
        batches = [self._texts[start : start + DEFAULT_ROWS] for start in starts]
        made = [self._servable.predict({"text": batch})[self._output] for batch in batches]
        return np.concatenate([np.asarray(part) for part in made])


class Pipeline(Contender):
    """transformers' pipeline object with a batch size: batches in the order of the texts."""

    def __init__(self, folder: Path, texts: Sequence[str], threads: int) -> None:
        import transformers

        self._pipeline: Any = transformers.pipeline(
            "text-classification", model=str(folder), device="cpu"
        )
        self._texts, self._threads = list(texts), threads

    def computed(self) -> Any:
        """See Contender."""
        import torch

        torch.set_num_threads(self._threads)
        given = self._pipeline(self._texts, batch_size=BATCH, top_k=None, truncation=True)
        by_label = [sorted(row, key=lambda score: str(score["label"])) for row in given]
        return np.array([[score["score"] for score in row] for row in by_label])


class Encode(Contender):
    """sentence-transformers' `encode`, in a process of its own."""

    def __init__(self, folder: Path, texts: Sequence[str], threads: int) -> None:
        listed = folder / "texts.json"
        listed.write_text(json.dumps(list(texts)))
        self._file = folder / "embeddings.npy"
        script = Path(__file__).with_name("encode.py")
        command = [environment.PYTHON, script, folder, listed, self._file, threads]
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self) -> Took:
        """See Contender: it measures itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        secs, cpu_secs = map(float, self._process.stdout.readline().split())
        self.found = self.computed()
        return Took(secs, cpu_secs)

    def computed(self) -> Any:
        """See Contender."""
        return np.load(self._file)

    def close(self) -> None:
        """See Contender."""
        self._process.communicate()


class Generate(Contender):
    """`generate` as one writes it by hand: batches in the order of the texts."""

    def __init__(self, folder: Path, texts: Sequence[str], threads: int) -> None:
        import transformers

        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        loaded: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
        self._model = loaded.eval()
        self._texts, self._threads = list(texts), threads

    def computed(self) -> Any:
        """See Contender."""
        import torch

        torch.set_num_threads(self._threads)
        written: list[str] = []
        for start in range(0, len(self._texts), BATCH):
            batch = self._texts[start : start + BATCH]
            made = self._tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                ids = self._model.generate(**made, max_new_tokens=NEW_TOKENS)
            written += self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return np.array(written, dtype=object)
