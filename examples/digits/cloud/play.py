"""The whole run: make what is needed, launch both jobs, prove them, measure."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from streaming import versions

from cloud.batch import BatchJob
from cloud.bounds import Bounds
from cloud.cost import job_usd
from cloud.dataflow import Dataflow, Metrics
from cloud.findings import Findings
from cloud.logs import Logs
from cloud.outputs import StreamOutputs
from cloud.pubsub import PubSub
from cloud.rest import Rest
from cloud.settings import PUBLISHED, TOPICS_IN, TOPICS_OUT, Settings
from cloud.storage import Storage
from cloud.stream import StreamJob

_ROOT = Path(__file__).parents[3]
_BATCH_SIZE = "inference_request_batch_size"


class Play:
    """One run.

    Args:
      rest: Google's services.
      settings: the command line.
      findings: takes what is found.
      say: prints a line of progress.
    """

    def __init__(
        self, rest: Rest, settings: Settings, findings: Findings, say: Callable[[str], None]
    ) -> None:
        self._rest = rest
        self._settings = settings
        self._findings = findings
        self._say = say
        self._dataflow = Dataflow(rest, settings)
        self._pubsub = PubSub(rest)
        self._storage = Storage(rest)
        self._bounds = Bounds(
            self._dataflow,
            settings.max_minutes,
            settings.max_usd,
            settings.poll_secs,
            settings.dry_run,
        )
        self._stream = self._check = ""

    @property
    def launched(self) -> set[str]:
        """The ids of all jobs that it launched."""
        return set(self._dataflow.launched)

    def run(self) -> None:
        """Everything but the measurements and the removal.

        Raises:
          RunError, ApiError: it cannot go on.
        """
        self._say("uploading the demo")
        self._upload()
        self._say("making topics and subscriptions")
        self._make_topics()
        parts = (self._dataflow, self._storage, self._settings, self._bounds)
        batch = BatchJob(*parts, self._findings)
        stream = StreamJob(*parts, StreamOutputs(self._pubsub, self._settings), self._findings)
        self._say("launching a batch job, a stream, and the check of --dry_run=true")
        batch.launch()
        stream.launch()
        self._stream = stream.job_id
        self._check = self._launch_check()
        self._say("the stream")
        stream.prove()
        self._say("the batch job")
        batch.prove()

    def _upload(self) -> None:
        told, folder = self._settings, self._settings.folder
        if told.image != PUBLISHED:
            metadata = json.loads((_ROOT / "metadata.json").read_text())
            spec = {"image": told.image, "sdkInfo": {"language": "PYTHON"}, "metadata": metadata}
            self._storage.upload(told.template, json.dumps(spec).encode())
        for name in ("ensemble.yaml", "models", "records"):
            self._upload_all(told.output_dir / name, f"{folder}/batch/{name}")
        with tempfile.TemporaryDirectory() as made:
            versions.prepare(told.output_dir, Path(made))
            self._upload_all(Path(made), f"{folder}/stream")

    def _upload_all(self, path: Path, uri: str) -> None:
        for each in [path] if path.is_file() else sorted(path.rglob("*")):
            if each.is_file():
                name = "" if each == path else f"/{each.relative_to(path)}"
                self._storage.upload(f"{uri}{name}", each.read_bytes())

    def _make_topics(self) -> None:
        told, account = self._settings, self._settings.service_account
        for name in (*TOPICS_IN, *TOPICS_OUT):
            topic, subscription = told.topic(name), told.subscription(name)
            self._pubsub.create_topic(topic)
            self._pubsub.create_subscription(subscription, topic)
            if name in TOPICS_IN:
                roles = ("roles/pubsub.subscriber", "roles/pubsub.viewer")
                self._pubsub.grant(subscription, account, *roles)
            else:
                self._pubsub.grant(topic, account, "roles/pubsub.publisher")

    def _launch_check(self) -> str:
        """A launch with --dry_run=true: nobody knows yet what the service makes of it."""
        folder = self._settings.folder
        parameters = {
            "ensemble_spec": f"{folder}/batch/ensemble.yaml",
            "input_file_pattern": f"{folder}/batch/records/*.jsonl*",
            "output_path": f"{folder}/check/predictions",
            "dry_run": "true",
        }
        return self._dataflow.launch(self._settings.job("check"), parameters)

    def measure(self) -> None:
        """Notes what ran, for the page. It can wait until all is removed, when nothing costs."""
        logs = Logs(self._rest, self._settings.project)
        for job_id, job in self._bounds.jobs.items():
            what = f"{job.name} ({job_id})"
            for name, read in (
                ("vCPU hours", _vcpu_hours),
                ("USD at list price", partial(_usd, job.kind)),
                ("records of a batch", _batch_sizes),
            ):
                self._note(f"{what}, {name}", partial(self._read, job_id, read))
        stream, check, now = self._stream, self._check, time.time()
        if stream:
            self._note("image pull of the stream's workers", lambda: logs.image_pulls(stream))
            self._note(
                "log lines a minute of the stream",
                lambda: logs.lines_per_minute(stream, self._dataflow.launched[stream], now),
            )
        if check:
            self._note("--dry_run=true as a launch", lambda: self._end_of(check))

    def _note(self, what: str, get: Callable[[], str]) -> None:
        """What cannot be had is noted as such: it must not hide what the run found."""
        try:
            value = get()
        except Exception as error:  # also an answer of another form
            value = f"not known: {error!r}"
        self._findings.measure(what, value)

    def _read(self, job_id: str, read: Callable[[Metrics], str]) -> str:
        return read(self._dataflow.metrics(job_id))

    def _end_of(self, job_id: str) -> str:
        words = self._dataflow.last_words(job_id)
        return f"{self._dataflow.state(job_id).name}: {words or 'no message'}"


def _vcpu_hours(metrics: Metrics) -> str:
    return f"{metrics.vcpu_hours:.3f}"


def _usd(kind: str, metrics: Metrics) -> str:
    return f"{job_usd(kind, metrics):.3f}"


def _batch_sizes(metrics: Metrics) -> str:
    """Of the step that has most of them."""
    found = [
        each
        for name, steps in metrics.distributions.items()
        if name.endswith(_BATCH_SIZE)
        for each in steps
        if each.get("count")
    ]
    if not found:
        return "not in the metrics"
    sizes = max(found, key=lambda each: float(each["count"]))
    mean = float(sizes["sum"]) / float(sizes["count"])
    return f"min {sizes['min']}, mean {mean:.0f}, max {sizes['max']}"
