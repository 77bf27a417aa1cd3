"""The batch job: its launch, and what has to come out of it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from cloud.bounds import Bounds, Watched
from cloud.dataflow import DONE, Dataflow
from cloud.findings import Findings
from cloud.settings import Settings
from cloud.storage import Storage

Line = dict[str, Any]


class BatchJob:
    """The demo's batch job.

    Args:
      dataflow, storage, settings, bounds: of the run.
      findings: takes what is found.
    """

    def __init__(
        self,
        dataflow: Dataflow,
        storage: Storage,
        settings: Settings,
        bounds: Bounds,
        findings: Findings,
    ) -> None:
        self._dataflow = dataflow
        self._storage = storage
        self._settings = settings
        self._bounds = bounds
        self._findings = findings
        self.job_id = ""

    def launch(self) -> None:
        """Launches it."""
        folder = self._settings.folder
        parameters = {
            "ensemble_spec": f"{folder}/batch/ensemble.yaml",
            "input_file_pattern": f"{folder}/batch/records/*.jsonl*",
            "output_path": f"{folder}/batch/out/predictions",
            "dead_letter_path": f"{folder}/batch/out/dead-letters",
            "report_path": f"{folder}/batch/out/report.html",
        }
        name = self._settings.job("batch")
        self.job_id = self._dataflow.launch(name, parameters)
        self._bounds.jobs[self.job_id] = Watched("batch", name, {DONE})

    def prove(self) -> None:
        """Waits for its end, and holds what it wrote against what main.py wrote here."""
        self._bounds.wait(
            "the end of the batch job", partial(self._dataflow.has_ended, self.job_id)
        )
        end = self._dataflow.state(self.job_id)
        took = f"{end.name}, {(end.since - end.created) / 60:.1f} minutes after the launch"
        self._findings.expect("batch_ends", end.name == DONE, took)
        here = self._settings.output_dir / "out"
        wanted = _predictions(_local_lines(here, "predictions"))
        found = _predictions(self._lines("predictions"))
        different = [i for i in wanted.keys() & found.keys() if wanted[i] != found[i]]
        self._findings.expect(
            "batch_predictions",
            wanted.keys() == found.keys() and not different,
            f"{len(found)} predictions of {len(wanted)}, {len(different)} with other labels",
        )
        letters = _payloads(_local_lines(here, "dead-letters"))
        came = _payloads(self._lines("dead-letters"))
        missing, more = letters - came, came - letters
        self._findings.expect(
            "batch_dead_letters",
            not missing and not more,
            f"{came.total()} of {letters.total()}, {missing.total()} missing, "
            f"{more.total()} that nobody expects",
        )

    def _lines(self, kind: str) -> Iterable[bytes]:
        for uri in self._storage.list(f"{self._settings.folder}/batch/out/{kind}-"):
            yield from self._storage.download(uri).splitlines()


def _local_lines(folder: Path, kind: str) -> Iterable[bytes]:
    for path in sorted(folder.glob(f"{kind}-*.jsonl")):
        yield from path.read_bytes().splitlines()


def _predictions(lines: Iterable[bytes]) -> dict[str, Line]:
    """Record id -> its labels. Probabilities differ in the last digits between CPUs."""
    parsed = [json.loads(line) for line in lines]
    return {
        str(line["id"]): {
            name: value for name, value in line["predictions"].items() if name.endswith("label")
        }
        for line in parsed
    }


def _payloads(lines: Iterable[bytes]) -> Counter[bytes]:
    """The records that were set aside."""
    found: Counter[bytes] = Counter()
    for line in map(json.loads, lines):
        payload = line["payload"].encode()
        found[base64.b64decode(payload) if line["payload_encoding"] == "base64" else payload] += 1
    return found
